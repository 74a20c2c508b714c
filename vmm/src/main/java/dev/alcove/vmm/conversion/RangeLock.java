// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.Gpa;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Waiting;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.locks.LockSupport;

/**
 * Excludes overlapping ranges from each other, in the order in which they were asked for: whoever asks waits for all
 * before him that overlap, those that wait themselves included. So nobody starves, and disjoint ranges run side by
 * side. A thread may hold one range only, hence no deadlock. Waiting cannot be interrupted.
 *
 * <p>Each 2 MiB of addresses has one of {@value #QUEUES} queues; a range is in the queues of all that it touches, most are
 * in one. vCPUs that convert far from each other write to no common cache line. A queue is an immutable array that each
 * change replaces by a compare and set. It is as long as there are vCPUs in the engine at this moment, and an operation
 * costs one walk over it.
 *
 * <p>Ranges of several queues join them one at a time (the monitor), so that any two of them follow each other in the same
 * order everywhere: with that nobody waits in a circle, as a range of one queue cannot be before in one and behind in
 * another.
 */
final class RangeLock {
    /** Everything that a guest physical address can name. */
    static final GpaRange ALL = GpaRange.of(0, Gpa.MAX + 1);

    /** A power of two. */
    private static final int QUEUES = 64;

    /** A queue's share of the addresses: 2 MiB. */
    private static final int SHARE_SHIFT = 21;

    /** Queues are two cache lines apart, in references, as processors fetch lines in pairs. */
    private static final int STRIDE = 32;

    private static final Held[] NOBODY = {};

    private final Waiting waiting;
    /** Holders and waiters of each queue, the first come first. Changed by compare and set only. */
    private final AtomicReferenceArray<Held[]> queues = new AtomicReferenceArray<>((QUEUES + 1) * STRIDE);

    RangeLock(Waiting waiting) {
        this.waiting = waiting;
        for (int queue = 0; queue < QUEUES; queue++) {
            queues.set(slot(queue), NOBODY);
        }
    }

    private static int slot(long queue) {
        return ((int) queue & QUEUES - 1) * STRIDE + STRIDE;
    }

    /** A range that a thread holds or waits for. */
    final class Held implements AutoCloseable {
        private final long start;
        private final long end;
        private final Thread thread = Thread.currentThread();
        /** It is in the queues of [first, last], of which there may be more than there are queues. */
        private final long first;

        private final long last;

        private Held(GpaRange range) {
            start = range.start().value();
            end = range.end();
            first = start >>> SHARE_SHIFT;
            last = Math.min((end - 1) >>> SHARE_SHIFT, first + QUEUES - 1);
        }

        private boolean overlaps(Held other) {
            return start < other.end && other.start < end;
        }

        private void join(long queue) {
            Held[] before;
            Held[] after;
            do {
                before = queues.get(slot(queue));
                after = Arrays.copyOf(before, before.length + 1);
                after[before.length] = this;
            } while (!queues.compareAndSet(slot(queue), before, after));
        }

        private boolean isFirst() {
            for (long queue = first; queue <= last; queue++) {
                Held[] now = queues.get(slot(queue));
                if (!RangeLock.isFirst(now, indexOf(now, this))) {
                    return false;
                }
            }
            return true;
        }

        /** Gives the range back. Once only. */
        @Override
        public void close() {
            for (long queue = first; queue <= last; queue++) {
                leave(queue);
            }
        }

        private void leave(long queue) {
            Held[] before;
            Held[] after;
            int mine;
            do {
                before = queues.get(slot(queue));
                mine = indexOf(before, this);
                after = without(before, mine);
            } while (!queues.compareAndSet(slot(queue), before, after));
            for (int i = mine; i < after.length; i++) {
                if (after[i].overlaps(this) && RangeLock.isFirst(after, i)) {
                    LockSupport.unpark(after[i].thread);
                }
            }
        }
    }

    /** Waits until nobody who came before holds or wants a part of the range. A wait that throws holds nothing. */
    Held lock(GpaRange range) {
        Held mine = new Held(range);
        if (mine.first == mine.last) {
            mine.join(mine.first);
        } else {
            joinAll(mine);
        }
        if (!mine.isFirst()) {
            try {
                waiting.until(mine::isFirst);
            } catch (RuntimeException | Error thrown) {
                mine.close();
                throw thrown;
            }
        }
        return mine;
    }

    private synchronized void joinAll(Held held) {
        for (long queue = held.first; queue <= held.last; queue++) {
            held.join(queue);
        }
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
