// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A listener that throws has done an unknown part of its work; what the manager makes of it. */
class ThrowingListenerTest {
    private static final int PAGES = 16;
    private static final RamSection ALL = new RamSection(0, PAGES * PAGE);

    private final RamDiscardManager manager = new RamDiscardManager(ALL.size());
    private final PopulatedRanges source = new PopulatedRanges(ALL.size(), PAGE, false);
    private final PagesListener first = new PagesListener(PAGES);
    private final PagesListener second = new PagesListener(PAGES);

    ThrowingListenerTest() {
        assertTrue(manager.addSource(source).isDone());
        assertTrue(manager.register(first, ALL).isDone());
        assertTrue(manager.register(second, ALL).isDone());
    }

    /** Each call takes one: null does not throw. */
    private static void script(PagesListener listener, @Nullable Throwable... thrown) {
        Deque<Throwable[]> left = new ArrayDeque<>();
        for (Throwable each : thrown) {
            left.add(each == null ? new Throwable[0] : new Throwable[] {each});
        }
        listener.thrown = () -> {
            Throwable[] next = left.poll();
            return next == null || next.length == 0 ? null : next[0];
        };
    }

    private Outcome populate(long page, long pages) {
        Outcome outcome = manager.notifyPopulate(source, page * PAGE, pages * PAGE);
        if (outcome.isDone()) {
            source.populate(page * PAGE, pages * PAGE);
        }
        return outcome;
    }

    private static Error deep(int depth) {
        return depth < 0 ? new StackOverflowError() : deep(depth + 1);
    }

    @Test
    void aPopulateThatThrowsIsTakenBack() {
        script(second, new IllegalStateException("boom"));
        Outcome.Refused refused = assertInstanceOf(Outcome.Refused.class, populate(2, 4));
        assertEquals(5, refused.errno());
        assertTrue(refused.reason().contains("populate of [0x2000, 0x6000) threw"), refused.reason());
        assertTrue(refused.reason().contains("boom"), refused.reason());
        assertEquals(List.of("+2:4", "-2:4"), first.takeCalls());
        assertEquals(List.of("+2:4", "-2:4"), second.takeCalls());
        assertArrayEquals(new boolean[PAGES], second.used);
    }

    @Test
    void outOfMemoryHasItsErrno() {
        script(second, new OutOfMemoryError("as if"));
        assertEquals(12, assertInstanceOf(Outcome.Refused.class, populate(2, 4)).errno());
    }

    @Test
    void aRealStackOverflowIsTakenBack() {
        boolean[] armed = {true};
        second.thrown = () -> {
            if (armed[0]) {
                armed[0] = false;
                throw deep(0);
            }
            return null;
        };
        assertInstanceOf(Outcome.Refused.class, populate(2, 4));
        assertArrayEquals(new boolean[PAGES], first.used);
        assertTrue(populate(2, 4).isDone());
    }

    @Test
    void aDiscardThatThrowsOnceIsGivenBack() {
        assertTrue(populate(0, 8).isDone());
        boolean[] before = first.used.clone();
        first.takeCalls();
        second.takeCalls();
        script(first, new StackOverflowError());
        assertInstanceOf(Outcome.Refused.class, manager.notifyDiscard(source, 2 * PAGE, 4 * PAGE));
        assertEquals(List.of("-2:4", "-2:4", "+2:4"), first.takeCalls());
        assertEquals(List.of("-2:4", "+2:4"), second.takeCalls());
        assertArrayEquals(before, first.used);
        assertArrayEquals(before, second.used);
    }

    @Test
    void aDiscardThatThrowsTwiceIsUnsafe() {
        assertTrue(populate(0, 8).isDone());
        script(second, new IllegalStateException("one"), new IllegalStateException("two"));
        Outcome.Unsafe unsafe =
                assertInstanceOf(Outcome.Unsafe.class, manager.notifyDiscard(source, 2 * PAGE, 4 * PAGE));
        assertTrue(unsafe.reason().contains("one") && unsafe.reason().contains("two"), unsafe.reason());
    }

    @Test
    void takingBackMayThrowOnce() {
        script(first, null, new IllegalStateException("once"));
        second.refusePopulate = () -> true;
        assertInstanceOf(Outcome.Refused.class, populate(2, 4));
        assertEquals(List.of("+2:4", "-2:4", "-2:4"), first.takeCalls());
        script(first, null, new IllegalStateException("once"), new IllegalStateException("twice"));
        assertInstanceOf(Outcome.Unsafe.class, populate(2, 4));
    }

    @Test
    void aRegistrationThatThrowsLeavesNothing() {
        assertTrue(populate(0, 1).isDone());
        assertTrue(populate(2, 2).isDone());
        PagesListener third = new PagesListener(PAGES);
        script(third, null, new LinkageError("no such class"));
        assertInstanceOf(Outcome.Refused.class, manager.register(third, ALL));
        assertEquals(List.of("+0:1", "+2:2", "-2:2", "-0:1"), third.takeCalls());
        assertArrayEquals(new boolean[PAGES], third.used);
        assertTrue(populate(8, 1).isDone());
        assertEquals(List.of(), third.takeCalls());
    }

    @Test
    void aListenerThatThrowsWhenItGoesIsAskedOnceMore() {
        assertTrue(populate(0, 4).isDone());
        second.takeCalls();
        script(second, new IllegalStateException("boom"));
        assertTrue(manager.unregister(second).isDone());
        assertEquals(List.of("-0:16", "-0:16"), second.takeCalls());
        assertArrayEquals(new boolean[PAGES], second.used);
        script(first, new IllegalStateException("one"), new IllegalStateException("two"));
        assertInstanceOf(Outcome.Unsafe.class, manager.unregister(first));
        assertTrue(populate(4, 1).isDone());
        assertTrue(first.used[4]);
    }

    @Test
    void whatCannotBePrintedIsAReasonToo() {
        script(second, new IllegalStateException("boom") {
            private static final long serialVersionUID = 1;

            @Override
            public String getMessage() {
                throw new IllegalStateException("twice");
            }
        });
        assertInstanceOf(Outcome.Refused.class, populate(2, 4));
    }

    @Test
    void aCallbackThatChangesTheManagerIsStopped() {
        boolean[] armed = {true};
        second.thrown = () -> {
            if (armed[0]) {
                armed[0] = false;
                manager.unregister(first);
            }
            return null;
        };
        Outcome.Refused refused = assertInstanceOf(Outcome.Refused.class, populate(2, 4));
        assertTrue(refused.reason().contains("in the middle of a change"), refused.reason());
    }

    /** At the end of the stack, a transaction may be impossible; half of it may not happen unnoticed. */
    @Test
    void atTheEndOfTheStackNothingIsHalfDone() {
        int[] tries = {0};
        descend(tries, 0);
        assertTrue(tries[0] > 0);
        assertTrue(manager.unregister(first).isDone());
        assertTrue(manager.unregister(second).isDone());
    }

    /** On the way back from the end of the stack, with a little more of it at each frame. */
    private void descend(int[] tries, int depth) {
        try {
            if (depth < Integer.MAX_VALUE) {
                descend(tries, depth + 1);
            }
        } catch (StackOverflowError _) {
            tries[0] = 0;
        }
        if (tries[0]++ < 300) {
            tryOnce();
        }
    }

    private void tryOnce() {
        Outcome outcome;
        try {
            outcome = manager.notifyPopulate(source, 0, PAGE);
        } catch (StackOverflowError _) {
            outcome = new Outcome.Unsafe("as good as");
        }
        if (outcome instanceof Outcome.Refused) {
            assertFalse(first.used[0] || second.used[0]);
        } else if (outcome.isDone()) {
            assertTrue(first.used[0] && second.used[0]);
        }
        first.used[0] = false;
        second.used[0] = false;
    }
}
