// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A count that many threads change and hardly anybody reads, as Linux's percpu_counter and percpu_ref: each thread counts
 * in a place of its own, on a cache line of its own.
 *
 * <p>Atomic, no lock. {@link #sum} reads one place after the other. Where nobody can begin any more, it is zero only when
 * everybody has ended: each thread's beginning comes before its end, on whatever places.
 */
public final class PercpuCount {
    /** A power of two. */
    private static final int PLACES = 8;

    /** Places are two cache lines apart, as processors fetch lines in pairs; so is the first from what is before. */
    private static final int STRIDE = 16;

    private static final VarHandle PLACE = MethodHandles.arrayElementVarHandle(long[].class);

    private final long[] places = new long[(PLACES + 1) * STRIDE];

    /** The calling thread begins. */
    public void increment() {
        PLACE.getAndAdd(places, own(), 1L);
    }

    /** The calling thread ends; another one may have begun. */
    public void decrement() {
        PLACE.getAndAdd(places, own(), -1L);
    }

    /** How many are between beginning and end; exact where nobody begins meanwhile. */
    public long sum() {
        long sum = 0;
        for (int place = STRIDE; place < places.length; place += STRIDE) {
            sum += (long) PLACE.getVolatile(places, place);
        }
        return sum;
    }

    private static int own() {
        return ((int) Thread.currentThread().threadId() & PLACES - 1) * STRIDE + STRIDE;
    }
}
