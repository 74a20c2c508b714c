// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.Gpa;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Waiting;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.concurrent.locks.LockSupport;

/**
 * Excludes overlapping ranges from each other, in the order in which they were asked for: whoever asks waits for all
 * before him that overlap, those that wait themselves included. So nobody starves, and disjoint ranges run side by
 * side. A thread may hold one range only, hence no deadlock. Waiting cannot be interrupted.
 *
 * <p>There is no lock inside: the queue is an immutable array that each change replaces by a compare and set. It is as
 * long as there are vCPUs in the engine at this moment, and an operation costs one walk over it.
 */
final class RangeLock {
    /** Everything that a guest physical address can name. */
    static final GpaRange ALL = GpaRange.of(0, Gpa.MAX + 1);

    private static final Held[] NOBODY = {};

    private static final AtomicReferenceFieldUpdater<RangeLock, Held[]> QUEUE =
            AtomicReferenceFieldUpdater.newUpdater(RangeLock.class, Held[].class, "queue");

    private final Waiting waiting;
    /** Holders and waiters, the first come first. Changed by compare and set only. */
    private volatile Held[] queue = NOBODY;

    RangeLock(Waiting waiting) {
        this.waiting = waiting;
    }

    /** A range that a thread holds or waits for. */
    final class Held implements AutoCloseable {
        private final long start;
        private final long end;
        private final Thread thread = Thread.currentThread();

        private Held(GpaRange range) {
            this.start = range.start().value();
            this.end = range.end();
        }

        private boolean overlaps(Held other) {
            return start < other.end && other.start < end;
        }

        /** Gives the range back. Once only. */
        @Override
        public void close() {
            Held[] before;
            Held[] after;
            int mine;
            do {
                before = queue;
                mine = indexOf(before, this);
                after = without(before, mine);
            } while (!QUEUE.compareAndSet(RangeLock.this, before, after));
            for (int i = mine; i < after.length; i++) {
                if (after[i].overlaps(this) && isFirst(after, i)) {
                    LockSupport.unpark(after[i].thread);
                }
            }
        }
    }

    /** Waits until nobody who came before holds or wants a part of the range. A wait that throws holds nothing. */
    Held lock(GpaRange range) {
        Held mine = new Held(range);
        Held[] before;
        Held[] after;
        do {
            before = queue;
            after = new Held[before.length + 1];
            System.arraycopy(before, 0, after, 0, before.length);
            after[before.length] = mine;
        } while (!QUEUE.compareAndSet(this, before, after));
        if (!isFirst(after, before.length)) {
            try {
                waiting.until(() -> isFirst(mine));
            } catch (RuntimeException | Error thrown) {
                mine.close();
                throw thrown;
            }
        }
        return mine;
    }

    private boolean isFirst(Held held) {
        Held[] now = queue;
        return isFirst(now, indexOf(now, held));
    }

    /** Whether nobody before overlaps. Those that come later queue up behind, so this stays true. */
    private static boolean isFirst(Held[] queue, int index) {
        for (int i = 0; i < index; i++) {
            if (queue[i].overlaps(queue[index])) {
                return false;
            }
        }
        return true;
    }

    private static int indexOf(Held[] queue, Held held) {
        for (int i = 0; i < queue.length; i++) {
            if (queue[i] == held) {
                return i;
            }
        }
        throw new IllegalStateException("this range is not held");
    }

    private static Held[] without(Held[] queue, int index) {
        if (queue.length == 1) {
            return NOBODY;
        }
        Held[] rest = new Held[queue.length - 1];
        System.arraycopy(queue, 0, rest, 0, index);
        System.arraycopy(queue, index + 1, rest, index, rest.length - index);
        return rest;
    }
}
