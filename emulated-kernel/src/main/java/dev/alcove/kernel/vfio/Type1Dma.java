// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/**
 * One VFIO_IOMMU_MAP_DMA of a container ({@code struct vfio_dma}): pages of one process. They count as locked memory of
 * that process ({@code locked_vm}), whether or not it has CAP_IPC_LOCK; without, the limit holds.
 *
 * <p>Guarded by the monitor of its {@link Type1Iommu}.
 */
final class Type1Dma {
    final long iova;
    final long size;
    /** IommuDomain.READ, WRITE or both. */
    final int rights;

    /** Where the pages are in the process. */
    long address;

    /** Whether the process is gone or going that had them: a new one is to say where they are. */
    boolean withoutAddress;

    /** What the user has not yet read of what devices have written; null while nobody tracks it. */
    @Nullable DirtyBitmap dirty;

    private Task task;
    private Mm mm;
    private boolean unlimited;
    private long locked;

    Type1Dma(Task task, long iova, long size, long address, int rights) {
        this.iova = iova;
        this.size = size;
        this.address = address;
        this.rights = rights;
        this.task = task;
        this.mm = task.mm();
        this.unlimited = task.capable(Task.CAP_IPC_LOCK);
    }

    /** The last byte. */
    long last() {
        return iova + size - 1;
    }

    long pages() {
        return size >>> Linux.PAGE_SHIFT;
    }

    Mm mm() {
        return mm;
    }

    /** Charges pages to the process: 0 or {@code -ENOMEM}. */
    int charge(long pages) {
        int error = charge(task, mm, unlimited, pages);
        if (error == 0) {
            locked += pages;
        }
        return error;
    }

    private static int charge(Task task, Mm mm, boolean unlimited, long pages) {
        long limit = unlimited ? -1 : task.rlimit(Linux.RLIMIT_MEMLOCK);
        return mm.locked().charge(pages, limit < 0 ? -1 : limit >>> Linux.PAGE_SHIFT);
    }

    void uncharge(long pages) {
        mm.locked().uncharge(pages);
        locked -= pages;
    }

    /**
     * Hands the pages, with their charge, to the process of a task.
     *
     * @return 0, {@code -EINVAL} when the address is known, or {@code -ENOMEM} when its limit does not allow them
     */
    int changeAddress(Task next, long nextAddress) {
        if (!withoutAddress) {
            return -Errno.EINVAL;
        }
        if (next.mm() != mm) {
            boolean may = next.capable(Task.CAP_IPC_LOCK);
            int error = charge(next, next.mm(), may, locked);
            if (error != 0) {
                return error;
            }
            mm.locked().uncharge(locked);
            task = next;
            mm = next.mm();
            unlimited = may;
        }
        address = nextAddress;
        withoutAddress = false;
        return 0;
    }
}
