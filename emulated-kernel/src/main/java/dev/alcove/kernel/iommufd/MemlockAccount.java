// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.AddressSpace;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;

/**
 * Who pays for pinned pages. Every mode counts as pinned memory of the process (VmPin).
 *
 * @param task the process, for its limit at the time of the charge
 */
record MemlockAccount(Mode mode, Task task, AddressSpace mm) {
    /** Against which limit. */
    enum Mode {
        /** None: the mapper has CAP_IPC_LOCK. */
        NONE,
        /** RLIMIT_MEMLOCK, summed over the user. */
        USER,
        /** RLIMIT_MEMLOCK, per process. */
        MM
    }

    /** The account of pages that a task maps. */
    static MemlockAccount of(Task task, boolean perProcess) {
        Mode mode = task.capable(Task.CAP_IPC_LOCK) ? Mode.NONE : perProcess ? Mode.MM : Mode.USER;
        return new MemlockAccount(mode, task, task.mm());
    }

    /** Charges; 0 or {@code -ENOMEM}. */
    int charge(long pages) {
        if (pages == 0) {
            return 0;
        }
        long limit = mode == Mode.NONE ? Linux.RLIM_INFINITY : task.rlimit(Linux.RLIMIT_MEMLOCK);
        return mm.chargePinned(pages, limit == Linux.RLIM_INFINITY ? -1 : limit >>> Linux.PAGE_SHIFT);
    }

    void uncharge(long pages) {
        if (pages != 0) {
            mm.unchargePinned(pages);
        }
    }
}
