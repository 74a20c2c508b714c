// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The guest frames whose invalidation has started and not ended, without a line of memory that two invalidators write:
 * each thread has a place of its own, as far as there are enough.
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

    private static final long FREE = 0;
    private static final long TAKEN = 1;

    // What is where in a place, behind its state.
    private static final int FIRST = 1;
    private static final int END = 2;
    private static final int THREAD = 3;
    private static final int FROM = 4;
    private static final int TO = 5;

    private final long[] places = new long[(PLACES + 1) * STRIDE];

    /** Invalidations that found no place. */
    private final AtomicInteger others = new AtomicInteger();

    Invalidations() {
        for (int i = 0; i < PLACES; i++) {
            places[at(i) + END] = Long.MAX_VALUE;
        }
    }

    private static int at(int place) {
        return (place & PLACES - 1) * STRIDE + STRIDE / 2;
    }

    /**
     * Starts an invalidation of all frames.
     *
     * @param from and {@code to}: what the same thread names it by when it ends it
     * @return for {@link #narrow}
     */
    int start(long from, long to) {
        long thread = Thread.currentThread().threadId();
        for (int i = 0; i < PLACES; i++) {
            int place = at((int) thread + i);
            if ((long) LONG.getOpaque(places, place) == FREE && LONG.compareAndSet(places, place, FREE, TAKEN)) {
                // Read by this thread only, but for the first to whom others compare their own number.
                LONG.setOpaque(places, place + THREAD, thread);
                places[place + FROM] = from;
                places[place + TO] = to;
                return place;
            }
        }
        others.getAndIncrement();
        return -1;
    }

    /** Says which frames it is about: [first, end). */
    void narrow(int place, long first, long end) {
        if (place >= 0) {
            LONG.setRelease(places, place + FIRST, first);
            LONG.setRelease(places, place + END, end);
        }
    }

    /** Ends an invalidation of the same thread. */
    void end(long from, long to) {
        long thread = Thread.currentThread().threadId();
        for (int i = 0; i < PLACES; i++) {
            int place = at((int) thread + i);
            if ((long) LONG.getOpaque(places, place + THREAD) == thread
                    && places[place + FROM] == from
                    && places[place + TO] == to) {
                LONG.setOpaque(places, place + THREAD, 0L);
                LONG.setOpaque(places, place + FIRST, 0L);
                LONG.setOpaque(places, place + END, Long.MAX_VALUE);
                LONG.setVolatile(places, place, FREE);
                return;
            }
        }
        // None that has started before its machine was there to be told.
        others.getAndUpdate(count -> Math.max(0, count - 1));
    }

    /**
     * Whether a frame is being invalidated. One that starts while this looks may be missed, or be taken for more than it
     * is.
     */
    boolean cover(long gfn) {
        if (others.get() != 0) {
            return true;
        }
        for (int i = 0; i < PLACES; i++) {
            int place = at(i);
            if ((long) LONG.getVolatile(places, place) == TAKEN
                    && gfn >= (long) LONG.getAcquire(places, place + FIRST)
                    && gfn < (long) LONG.getAcquire(places, place + END)) {
                return true;
            }
        }
        return false;
    }
}
