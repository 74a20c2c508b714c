// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.RamDiscardManager.Change;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class ChangeGateTest {
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    private Thread start(Runnable body) {
        return Thread.ofPlatform().start(() -> {
            try {
                body.run();
            } catch (RuntimeException | Error thrown) {
                failure.set(thrown);
            }
        });
    }

    private void join(List<Thread> threads) throws InterruptedException {
        for (Thread thread : threads) {
            thread.join();
        }
        assertNull(failure.get());
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void aThreadPassesAgainWhileItIsInside() {
        ChangeGate gate = new ChangeGate(Waiting.PARK);
        Change outer = gate.enter();
        Change inner = gate.enter();
        inner.close();
        assertThrows(IllegalStateException.class, gate::enterAlone);
        outer.close();
        assertThrows(IllegalStateException.class, outer::close);
        Change alone = gate.enterAlone();
        Change within = gate.enter();
        assertThrows(IllegalStateException.class, gate::enterAlone);
        within.close();
        alone.close();
        gate.enterAlone().close();
    }

    @Test
    void anotherThreadCannotEndAChange() throws InterruptedException {
        ChangeGate gate = new ChangeGate(Waiting.PARK);
        Change mine = gate.enter();
        join(List.of(start(() -> assertThrows(IllegalStateException.class, mine::close))));
        mine.close();
    }

    /** A way to wait that counts, and lets a thread that would wait say so. */
    private static final class Counted {
        final AtomicInteger waits = new AtomicInteger();
        final CountDownLatch first = new CountDownLatch(1);

        void until(BooleanSupplier condition) {
            if (!condition.getAsBoolean()) {
                waits.incrementAndGet();
                first.countDown();
            }
            Waiting.PARK.until(condition);
        }
    }

    @Test
    void changesDoNotWaitForEachOther() throws InterruptedException {
        Counted counted = new Counted();
        ChangeGate gate = new ChangeGate(counted::until);
        CountDownLatch inside = new CountDownLatch(100);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            threads.add(start(() -> {
                try (Change _ = gate.enter()) {
                    inside.countDown();
                    await(inside);
                }
            }));
        }
        join(threads);
        assertEquals(0, counted.waits.get());
        gate.enterAlone().close();
    }

    @Test
    void whoWantsToBeAloneWaitsAndOthersWaitForIt() throws InterruptedException {
        Counted counted = new Counted();
        ChangeGate gate = new ChangeGate(counted::until);
        List<String> order = new ArrayList<>();
        Change mine = gate.enter();
        Thread alone = start(() -> {
            try (Change _ = gate.enterAlone()) {
                order.add("alone");
            }
        });
        await(counted.first);
        // Inside already: passing again does not wait for who waits for it.
        gate.enter().close();
        order.add("before");
        mine.close();
        gate.enter().close();
        join(List.of(alone));
        assertEquals(List.of("before", "alone"), order);
    }

    @Test
    void aWaitThatThrowsLeavesTheGateOpen() throws InterruptedException {
        IllegalStateException stop = new IllegalStateException("stop");
        ChangeGate gate = new ChangeGate(condition -> {
            if (!condition.getAsBoolean()) {
                throw stop;
            }
        });
        Change mine = gate.enter();
        join(List.of(start(() -> assertSame(stop, assertThrows(IllegalStateException.class, gate::enterAlone)))));
        join(List.of(start(() -> gate.enter().close())));
        mine.close();
        gate.enterAlone().close();
    }

    @Test
    void anInterruptIsKept() throws InterruptedException {
        Counted counted = new Counted();
        ChangeGate gate = new ChangeGate(counted::until);
        Change mine = gate.enter();
        Thread alone = start(() -> {
            gate.enterAlone().close();
            assertTrue(Thread.interrupted());
        });
        await(counted.first);
        alone.interrupt();
        mine.close();
        join(List.of(alone));
    }

    /** Plain counters, which only exclusion keeps right. */
    @Test
    void nobodyIsInsideWhileSomebodyIsAlone() throws InterruptedException {
        ChangeGate gate = new ChangeGate(Waiting.PARK);
        int[] alone = {0};
        AtomicInteger inside = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            threads.add(start(() -> {
                for (int turn = 0; turn < 20_000; turn++) {
                    try (Change _ = gate.enter()) {
                        inside.incrementAndGet();
                        assertEquals(0, alone[0] & 1);
                        inside.decrementAndGet();
                    }
                }
            }));
        }
        for (int i = 0; i < 2; i++) {
            threads.add(start(() -> {
                for (int turn = 0; turn < 2000; turn++) {
                    try (Change _ = gate.enterAlone()) {
                        alone[0]++;
                        assertEquals(0, inside.get());
                        alone[0]++;
                    }
                }
            }));
        }
        join(threads);
        assertEquals(8000, alone[0]);
    }
}
