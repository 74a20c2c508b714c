// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;

/**
 * Who pays for pinned pages. Every mode counts as pinned memory of the process (VmPin).
 *
 * @param task the process, for its limit at the time of the charge
 */
record MemlockAccount(Mode mode, Task task, Mm mm, LockedMemory user) {
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
        return new MemlockAccount(mode, task, task.mm(), task.userLocked());
    }

    /** Charges; 0 or {@code -ENOMEM}. */
    int charge(long pages) {
        if (pages == 0) {
            return 0;
        }
        if (mode != Mode.NONE) {
            long limit = task.rlimit(Linux.RLIMIT_MEMLOCK);
            int error = locked().charge(pages, limit == Linux.RLIM_INFINITY ? -1 : limit >>> Linux.PAGE_SHIFT);
            if (error != 0) {
                return error;
            }
        }
        return mm.chargePinned(pages, -1);
    }

    void uncharge(long pages) {
        if (pages == 0) {
            return;
        }
        if (mode != Mode.NONE) {
            locked().uncharge(pages);
        }
        mm.unchargePinned(pages);
    }

    private LockedMemory locked() {
        return mode == Mode.USER ? user : mm.locked();
    }
}
