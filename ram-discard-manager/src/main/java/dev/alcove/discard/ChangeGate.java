// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Lets many changes pass side by side, or one alone. A thread may pass again while it is inside.
 *
 * <p>Threads that pass side by side write to no common cache line: each marks a place of its own, and looks whether
 * somebody wants to be alone. Who wants to be alone says so first and then waits for every place that is marked. There
 * is no lock inside. A thread waits in two cases only, both of them through the given way to wait: to pass while
 * somebody is alone (or about to be), and to be alone while others are inside.
 */
final class ChangeGate {
    /** A power of two, above the number of vCPUs that change something at the same time. */
    private static final int BUCKETS = 64;

    private static final AtomicReferenceFieldUpdater<Mark, Thread> OWNER =
            AtomicReferenceFieldUpdater.newUpdater(Mark.class, Thread.class, "owner");
    private static final AtomicReferenceFieldUpdater<ChangeGate, Alone> ALONE =
            AtomicReferenceFieldUpdater.newUpdater(ChangeGate.class, Alone.class, "alone");

    private final Waiting waiting;
    /** Places, by the number of the thread. They are never taken away: there are as many as were ever held at once. */
    private final AtomicReferenceArray<@Nullable Place> buckets = new AtomicReferenceArray<>(BUCKETS);

    private volatile @Nullable Alone alone;

    /**
     * An open gate.
     *
     * @param waiting how a thread waits for others that are inside
     */
    ChangeGate(Waiting waiting) {
        this.waiting = waiting;
    }

    /** A thread that is alone, or waits for the others to leave. */
    private static final class Alone {
        final Thread thread = Thread.currentThread();
        final Queue<Thread> waiters = new ConcurrentLinkedQueue<>();
    }

    /** Where one thread at a time marks that it is inside. */
    private abstract static class Mark extends LinesBefore {
        volatile @Nullable Thread owner = Thread.currentThread();
        /** The owner's: how often it has passed. */
        int depth = 1;
        /** The owner's: what it is alone by. */
        @Nullable Alone alone;
        /** Written by the owner before it leaves: how many have left. */
        int left;
    }

    /** A mark on cache lines of its own, in the list of its bucket. */
    @SuppressWarnings("unused")
    private static final class Place extends Mark implements RamDiscardManager.Change {
        private long p0;
        private long p1;
        private long p2;
        private long p3;
        private long p4;
        private long p5;
        private long p6;
        private long p7;
        private long p8;
        private long p9;
        private long p10;
        private long p11;
        private long p12;
        private long p13;

        final ChangeGate gate;
        final @Nullable Place next;

        Place(ChangeGate gate, @Nullable Place next) {
            this.gate = gate;
            this.next = next;
        }

        @Override
        public void close() {
            if (owner != Thread.currentThread()) {
                throw new IllegalStateException("a change is ended by the thread that began it, and once");
            }
            if (--depth == 0) {
                leave();
            }
        }

        private void leave() {
            Alone mine = alone;
            alone = null;
            left++;
            owner = null;
            if (mine != null) {
                gate.open(mine);
                return;
            }
            Alone other = gate.alone;
            if (other != null) {
                LockSupport.unpark(other.thread);
            }
        }
    }

    /**
     * That somebody is at a place.
     *
     * @param left how many have left it before
     */
    private record Visit(Place place, int left) {
        boolean isOver() {
            return place.owner == null || place.left != left;
        }
    }

    /** Passes, side by side with others. */
    RamDiscardManager.Change enter() {
        Thread thread = Thread.currentThread();
        int bucket = (int) thread.threadId() & BUCKETS - 1;
        while (true) {
            Place place = placeOf(thread, bucket);
            if (place != null) {
                place.depth++;
                return place;
            }
            place = take(thread, bucket);
            Alone other = alone;
            if (other == null) {
                return place;
            }
            place.close();
            other.waiters.add(thread);
            waiting.until(() -> alone != other);
        }
    }

    /**
     * Passes alone.
     *
     * @throws IllegalStateException the thread is inside already, and would wait for itself
     */
    RamDiscardManager.Change enterAlone() {
        Thread thread = Thread.currentThread();
        int bucket = (int) thread.threadId() & BUCKETS - 1;
        if (placeOf(thread, bucket) != null) {
            throw new IllegalStateException("this thread is in the middle of a change");
        }
        Alone mine = new Alone();
        while (!ALONE.compareAndSet(this, null, mine)) {
            Alone other = alone;
            if (other != null) {
                other.waiters.add(thread);
                waiting.until(() -> alone != other);
            }
        }
        try {
            awaitOthers();
            Place place = take(thread, bucket);
            place.alone = mine;
            return place;
        } catch (RuntimeException | Error thrown) {
            open(mine);
            throw thrown;
        }
    }

    /**
     * Waits for whoever is inside now, once for all of them: which bucket a thread has is chance, and a scheduler is to
     * see the same waits each time. Who comes later finds the gate closed, and goes again.
     */
    private void awaitOthers() {
        List<Visit> others = new ArrayList<>();
        for (int i = 0; i < BUCKETS; i++) {
            for (Place place = buckets.get(i); place != null; place = place.next) {
                if (place.owner != null) {
                    // Read behind the owner, whose predecessors' counts it makes visible.
                    others.add(new Visit(place, place.left));
                }
            }
        }
        if (!others.isEmpty()) {
            waiting.until(() -> others.stream().allMatch(Visit::isOver));
        }
    }

    private void open(Alone mine) {
        alone = null;
        for (Thread waiter : mine.waiters) {
            LockSupport.unpark(waiter);
        }
    }

    private @Nullable Place placeOf(Thread thread, int bucket) {
        Place place = buckets.get(bucket);
        while (place != null && place.owner != thread) {
            place = place.next;
        }
        return place;
    }

    /** Marks a place, with depth 1. */
    private Place take(Thread thread, int bucket) {
        for (Place place = buckets.get(bucket); place != null; place = place.next) {
            if (place.owner == null && OWNER.compareAndSet(place, null, thread)) {
                place.depth = 1;
                return place;
            }
        }
        while (true) {
            Place first = buckets.get(bucket);
            Place place = new Place(this, first);
            if (buckets.compareAndSet(bucket, first, place)) {
                return place;
            }
        }
    }
}
