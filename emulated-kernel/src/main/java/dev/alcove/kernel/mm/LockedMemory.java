// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A count of pages against RLIMIT_MEMLOCK: {@code user->locked_vm}, {@code mm->locked_vm} (VmLck) or
 * {@code mm->pinned_vm} (VmPin). Atomic, no lock.
 */
public final class LockedMemory {
    private final AtomicLong pages = new AtomicLong();

    /**
     * Adds pages.
     *
     * @param limitPages the limit, -1 for none
     * @return 0 or {@code -ENOMEM}, with nothing charged
     */
    public int charge(long count, long limitPages) {
        while (true) {
            long now = pages.get();
            if (limitPages >= 0 && count > limitPages - now) {
                return -Errno.ENOMEM;
            }
            if (pages.compareAndSet(now, now + count)) {
                return 0;
            }
        }
    }

    /** Undoes {@link #charge}. */
    public void uncharge(long count) {
        pages.addAndGet(-count);
    }

    /** Pages charged now. */
    public long pages() {
        return pages.get();
    }
}
