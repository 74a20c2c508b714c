// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

class SchedulerTest {
    private static final int LIMIT = 200;

    /** A run of threads that share a word and two locks. */
    private static final class Run {
        final Scheduler scheduler;
        final boolean[] held = new boolean[2];
        int word;

        Run(Chooser chooser) {
            scheduler = new Scheduler(chooser, () -> null, LIMIT, true);
        }

        void thread(String name, Runnable body) {
            scheduler.threads(scheduler.strand(name)).newThread(body);
        }

        void step(String what) {
            scheduler.step(() -> what);
        }

        void increment() {
            step("read");
            int before = word;
            step("write");
            word = before + 1;
        }

        void lock(int which) {
            if (held[which]) {
                scheduler.until(() -> !held[which], "lock " + which);
            }
            held[which] = true;
            step("has lock " + which);
        }
    }

    private static Run increments(Chooser chooser) throws InterruptedException {
        Run run = new Run(chooser);
        run.thread("one", run::increment);
        run.thread("two", run::increment);
        assertNull(run.scheduler.run());
        return run;
    }

    @Test
    void withoutSwitchesThreadsRunOneAfterTheOther() throws InterruptedException {
        assertEquals(2, increments(new Replay(List.of())).word);
    }

    @Test
    void anIncrementIsLostInSomeSchedule() throws InterruptedException {
        Set<Integer> results = new HashSet<>();
        Set<Long> prints = new HashSet<>();
        for (int seed = 0; seed < 20; seed++) {
            Run run = increments(new RandomWalk(seed, 2));
            results.add(run.word);
            prints.add(run.scheduler.fingerprint());
            Run again = increments(new Replay(run.scheduler.switches()));
            assertEquals(run.scheduler.log(), again.scheduler.log());
        }
        assertEquals(Set.of(1, 2), results);
        assertTrue(prints.size() > 2, prints.size() + " interleavings");
    }

    @Test
    void schedulesByPriorityOfDepthOneDoNotInterleave() throws InterruptedException {
        for (int seed = 0; seed < 10; seed++) {
            assertEquals(2, increments(new PriorityWalk(seed, 2, 1, 4)).word);
        }
    }

    @Test
    void schedulesByPriorityOfDepthTwoLoseAnIncrement() throws InterruptedException {
        Set<Integer> results = new HashSet<>();
        for (int seed = 0; seed < 20; seed++) {
            results.add(increments(new PriorityWalk(seed, 2, 2, 4)).word);
        }
        assertEquals(Set.of(1, 2), results);
    }

    @Test
    void aDeadlockSaysWhoWaitsForWhat() throws InterruptedException {
        List<Violation> found = new ArrayList<>();
        for (int seed = 0; seed < 30 && found.isEmpty(); seed++) {
            Run run = new Run(new RandomWalk(seed, 2));
            run.thread("one", () -> {
                run.lock(0);
                run.lock(1);
                run.held[0] = false;
                run.held[1] = false;
            });
            run.thread("two", () -> {
                run.lock(1);
                run.lock(0);
                run.held[0] = false;
                run.held[1] = false;
            });
            Violation violation = run.scheduler.run();
            if (violation != null) {
                found.add(violation);
            }
        }
        assertEquals(
                List.of(new Violation("deadlock", "one waits for lock 1, two waits for lock 0")), found);
    }

    @Test
    void aThreadThatNeverEndsIsALivelock() throws InterruptedException {
        Run run = new Run(new RandomWalk(1, 2));
        run.thread("one", () -> {
            while (!run.held[0]) {
                run.step("looks");
            }
        });
        run.thread("two", () -> run.step("does nothing"));
        Violation violation = run.scheduler.run();
        assertNotNull(violation);
        assertEquals("livelock", violation.kind());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aThreadThatThrowsEndsTheRun(boolean error) throws InterruptedException {
        Run run = new Run(new RandomWalk(1, 2));
        Supplier<Throwable> thrown = () -> error ? new AssertionError("it") : new IllegalStateException("it");
        run.thread("one", () -> {
            run.step("throws");
            if (thrown.get() instanceof RuntimeException exception) {
                throw exception;
            }
            throw new AssertionError("it");
        });
        run.thread("two", () -> {
            for (int i = 0; i < 10; i++) {
                run.step("steps");
            }
        });
        Violation violation = run.scheduler.run();
        assertNotNull(violation);
        assertEquals("a thread has died", violation.kind());
    }

    @Test
    void aWatcherStopsEverybodyAfterTheStepThatItDoesNotLike() throws InterruptedException {
        int[] word = new int[1];
        Scheduler scheduler = new Scheduler(
                new Replay(List.of()), () -> word[0] > 1 ? new Violation("two", "it is 2") : null, LIMIT, true);
        for (String name : List.of("one", "two", "three")) {
            scheduler.threads(scheduler.strand(name)).newThread(() -> {
                scheduler.step(() -> "adds one");
                word[0]++;
            });
        }
        assertEquals(new Violation("two", "it is 2"), scheduler.run());
        assertEquals(2, word[0]);
        assertEquals(2, scheduler.log().size());
    }
}
