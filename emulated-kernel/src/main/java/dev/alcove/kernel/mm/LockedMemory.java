// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/**
 * A count of pages against RLIMIT_MEMLOCK: {@code user->locked_vm}, {@code mm->locked_vm} (VmLck) or
 * {@code mm->pinned_vm} (VmPin). No lock.
 *
 * <p>Who has no limit adds to a count that its threads do not share, so that they do not wait for each other. Who has one
 * sees what all have charged when it asks, and what others with a limit charge at the same time.
 */
public final class LockedMemory {
    /** What was charged without a limit, less all that was given back: negative by itself. */
    private final LongAdder unchecked = new LongAdder();
    /** What was ever charged against a limit. */
    private final AtomicLong limited = new AtomicLong();

    /**
     * Adds pages.
     *
     * @param limitPages the limit, -1 for none
     * @return 0 or {@code -ENOMEM}, with nothing charged
     */
    public int charge(long count, long limitPages) {
        if (limitPages < 0) {
            unchecked.add(count);
            return 0;
        }
        while (true) {
            long now = limited.get();
            if (count > limitPages - now - unchecked.sum()) {
                return -Errno.ENOMEM;
            }
            if (limited.compareAndSet(now, now + count)) {
                return 0;
            }
        }
    }

    /** Undoes {@link #charge}. */
    public void uncharge(long count) {
        unchecked.add(-count);
    }

    /** Pages charged now. */
    public long pages() {
        return limited.get() + unchecked.sum();
    }
}
