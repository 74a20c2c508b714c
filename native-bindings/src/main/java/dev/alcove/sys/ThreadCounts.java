// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import org.jspecify.annotations.Nullable;

/**
 * Some counts to which many threads add all the time, and which hardly anybody reads: each thread adds in a place of its
 * own, on cache lines of its own, without an atomic operation.
 *
 * <p>Thread safe without a lock; adding never waits, and works without memory. A place belongs to one thread until that has
 * ended; another one may take it over then, so there are as many as threads that lived at once. A sum has all that was added
 * before by the asking thread, and by others that it knows to have done so.
 */
public final class ThreadCounts {
    /** A power of two. */
    private static final int BUCKETS = 64;

    /** Longs on either side of a place's counts: two cache lines, as processors fetch lines in pairs. */
    private static final int PAD = 16;

    private static final VarHandle VALUE = MethodHandles.arrayElementVarHandle(long[].class);

    private static final AtomicReferenceFieldUpdater<Place, Thread> OWNER =
            AtomicReferenceFieldUpdater.newUpdater(Place.class, Thread.class, "owner");

    private final int counts;
    /** Places, by the number of the thread. */
    private final AtomicReferenceArray<@Nullable Place> buckets = new AtomicReferenceArray<>(BUCKETS);
    /** Of threads for whose place there was no memory. */
    private final AtomicLongArray rest;

    /**
     * Counts that are all zero.
     *
     * @param counts how many there are; they are named by their numbers, from 0 on
     */
    public ThreadCounts(int counts) {
        this.counts = counts;
        this.rest = new AtomicLongArray(counts);
    }

    /** Where one thread at a time counts. */
    private static final class Place {
        /** Replaced when it has ended, by compare and set. */
        volatile Thread owner;

        final @Nullable Place next;
        /** Written by the owner. */
        final long[] values;

        Place(Thread owner, @Nullable Place next, int counts) {
            this.owner = owner;
            this.next = next;
            this.values = new long[counts + 2 * PAD];
        }

        /** Whether the thread has it now: that of one that has ended can be had, with what it holds. */
        boolean isHadBy(Thread thread) {
            Thread before = owner;
            return before == thread || (!before.isAlive() && OWNER.compareAndSet(this, before, thread));
        }
    }

    /** Adds to a count, for the calling thread. */
    public void add(int count, long amount) {
        Place mine = mine();
        if (mine == null) {
            rest.getAndAdd(count, amount);
            return;
        }
        long[] values = mine.values;
        VALUE.setOpaque(values, PAD + count, values[PAD + count] + amount);
    }

    /** What the calling thread has added to a count; also what was added by those whose place it has. */
    public long own(int count) {
        Place mine = mine();
        return mine == null ? rest.get(count) : mine.values[PAD + count];
    }

    /** What all threads have added to a count. */
    public long sum(int count) {
        long sum = rest.get(count);
        for (int bucket = 0; bucket < BUCKETS; bucket++) {
            for (Place place = buckets.get(bucket); place != null; place = place.next) {
                sum += (long) VALUE.getOpaque(place.values, PAD + count);
            }
        }
        return sum;
    }

    /** The place of the calling thread; null where there is no memory for one. */
    private @Nullable Place mine() {
        Thread thread = Thread.currentThread();
        Place first = buckets.get((int) thread.threadId() & BUCKETS - 1);
        return first != null && first.owner == thread ? first : find(thread);
    }

    private @Nullable Place find(Thread thread) {
        try {
            int bucket = (int) thread.threadId() & BUCKETS - 1;
            Place mine;
            Place first;
            do {
                first = buckets.get(bucket);
                for (Place place = first; place != null; place = place.next) {
                    if (place.owner == thread) {
                        return place;
                    }
                }
                for (Place place = first; place != null; place = place.next) {
                    if (place.isHadBy(thread)) {
                        return place;
                    }
                }
                mine = new Place(thread, first, counts);
            } while (!buckets.compareAndSet(bucket, first, mine));
            return mine;
        } catch (OutOfMemoryError | StackOverflowError _) {
            return null;
        }
    }
}
