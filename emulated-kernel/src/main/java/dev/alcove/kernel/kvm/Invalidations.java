// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * The guest frames whose invalidation has started and not ended, without a line of memory that two invalidators write:
 * each thread has a place of its own, which it keeps, as far as there are enough.
 *
 * <p>No locks. What a place says is published by a volatile write of its state. From its start until it is narrowed an
 * invalidation covers all frames, so that the range can be found out under its protection.
 */
final class Invalidations {
    private static final VarHandle LONG = MethodHandles.arrayElementVarHandle(long[].class);

    /** Places; those who find none cover all frames until they end. */
    private static final int PLACES = 16;

    /** Longs from one place to the next: two cache lines, because processors fetch them in pairs. */
    private static final int STRIDE = 16;

    /** The state of a place is the thread that has taken it, or this. */
    private static final long FREE = 0;

    // What is where in a place, behind its state.
    private static final int FIRST = 1;
    private static final int END = 2;
    private static final int FROM = 3;
    private static final int TO = 4;

    private final long[] places = new long[(PLACES + 1) * STRIDE];

    /**
     * The thread that has used each place last, or 0: written only by who has taken the place, and nearly never, so that
     * all can look without waiting for a line that another one writes.
     */
    private final long[] threads = new long[PLACES + 2 * STRIDE];

    /** Invalidations that found no place. */
    private final ConcurrentLinkedQueue<Other> others = new ConcurrentLinkedQueue<>();

    private record Other(long thread, long from, long to) {}

    Invalidations() {
        for (int i = 0; i < PLACES; i++) {
            places[at(i) + END] = Long.MAX_VALUE;
        }
    }

    private static int at(int place) {
        return (place & PLACES - 1) * STRIDE + STRIDE / 2;
    }

    private static int threadOf(int place) {
        return (place & PLACES - 1) + STRIDE;
    }

    /**
     * Starts an invalidation of all frames.
     *
     * @param from and {@code to}: what the same thread names it by when it ends it
     * @return for {@link #narrow}
     */
    int start(long from, long to) {
        long thread = Thread.currentThread().threadId();
        int place = take(thread, false);
        if (place < 0) {
            place = take(thread, true);
        }
        if (place < 0) {
            others.add(new Other(thread, from, to));
            return -1;
        }
        places[place + FROM] = from;
        places[place + TO] = to;
        return place;
    }

    /** @param foreign whether a place will do that another thread has used before */
    private int take(long thread, boolean foreign) {
        for (int i = 0; i < PLACES; i++) {
            int number = (int) thread + i;
            int place = at(number);
            long last = (long) LONG.getOpaque(threads, threadOf(number));
            if ((foreign || last == thread || last == 0)
                    && (long) LONG.getOpaque(places, place) == FREE
                    && LONG.compareAndSet(places, place, FREE, thread)) {
                if (last != thread) {
                    LONG.setOpaque(threads, threadOf(number), thread);
                }
                return place;
            }
        }
        return -1;
    }

    /** Says which frames it is about: [first, end). */
    void narrow(int place, long first, long end) {
        if (place >= 0) {
            LONG.setRelease(places, place + FIRST, first);
            LONG.setRelease(places, place + END, end);
        }
    }

    /** Ends an invalidation of the same thread; of one that has not been started, as its machine was not there yet, nothing. */
    void end(long from, long to) {
        long thread = Thread.currentThread().threadId();
        for (int i = 0; i < PLACES; i++) {
            int number = (int) thread + i;
            int place = at(number);
            if ((long) LONG.getOpaque(threads, threadOf(number)) == thread
                    && (long) LONG.getOpaque(places, place) == thread
                    && places[place + FROM] == from
                    && places[place + TO] == to) {
                LONG.setOpaque(places, place + FIRST, 0L);
                LONG.setOpaque(places, place + END, Long.MAX_VALUE);
                LONG.setVolatile(places, place, FREE);
                return;
            }
        }
        others.remove(new Other(thread, from, to));
    }

    /**
     * Whether a frame is being invalidated. One that starts while this looks may be missed, or be taken for more than it
     * is.
     */
    boolean cover(long gfn) {
        if (!others.isEmpty()) {
            return true;
        }
        for (int i = 0; i < PLACES; i++) {
            int place = at(i);
            if ((long) LONG.getVolatile(places, place) != FREE
                    && gfn >= (long) LONG.getAcquire(places, place + FIRST)
                    && gfn < (long) LONG.getAcquire(places, place + END)) {
                return true;
            }
        }
        return false;
    }
}
