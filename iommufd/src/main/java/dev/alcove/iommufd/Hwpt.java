// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicBoolean;

/** A hardware page table: an I/O address space in the form that one IOMMU walks. */
public final class Hwpt implements AutoCloseable {
    private final IommuFd iommu;
    private final int id;
    private final AtomicBoolean open = new AtomicBoolean(true);

    private Hwpt(IommuFd iommu, int id) {
        this.iommu = iommu;
        this.id = id;
    }

    /**
     * IOMMU_HWPT_ALLOC without data of a driver's own. Pins all that the address space has mapped.
     *
     * @param deviceId of a bound device, from its BIND
     * @param flags {@code IOMMU_HWPT_ALLOC_*}
     * @throws SyscallException ENOENT no such device; EINVAL; EOPNOTSUPP an unknown flag; ENOMEM, EFAULT from pinning
     */
    public static Hwpt alloc(int deviceId, Ioas ioas, int flags) {
        IommuFd iommu = ioas.iommu();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_hwpt_alloc.allocate(arena);
            iommu_hwpt_alloc.size(cmd, (int) iommu_hwpt_alloc.sizeof());
            iommu_hwpt_alloc.flags(cmd, flags);
            iommu_hwpt_alloc.dev_id(cmd, deviceId);
            iommu_hwpt_alloc.pt_id(cmd, ioas.id());
            int answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_HWPT_ALLOC(), cmd);
            if (answer < 0) {
                throw new SyscallException("IOMMU_HWPT_ALLOC", "device " + deviceId + " ioas " + ioas.id(), answer);
            }
            return new Hwpt(iommu, iommu_hwpt_alloc.out_hwpt_id(cmd));
        }
    }

    /**
     * IOMMU_HWPT_SET_DIRTY_TRACKING: the IOMMU notes which pages devices write. Switching it on forgets what was noted.
     *
     * @throws SyscallException EOPNOTSUPP the table was not made with IOMMU_HWPT_ALLOC_DIRTY_TRACKING
     */
    public void dirtyTracking(boolean on) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_hwpt_set_dirty_tracking.allocate(arena);
            iommu_hwpt_set_dirty_tracking.size(cmd, (int) iommu_hwpt_set_dirty_tracking.sizeof());
            iommu_hwpt_set_dirty_tracking.flags(cmd, on ? iommufd.IOMMU_HWPT_DIRTY_TRACKING_ENABLE() : 0);
            iommu_hwpt_set_dirty_tracking.hwpt_id(cmd, id);
            int answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING(), cmd);
            SyscallException.check(answer, "IOMMU_HWPT_SET_DIRTY_TRACKING", "hwpt " + id);
        }
    }

    /**
     * IOMMU_HWPT_GET_DIRTY_BITMAP: sets the bits of pages that devices have written, and forgets them unless told to
     * keep them.
     *
     * @param page bytes that a bit stands for, a power of two
     * @param flags 0, or IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR
     * @param bitmap in the memory of this kernel's process; bits are only set, never cleared
     * @throws SyscallException EINVAL unaligned; EOPNOTSUPP as {@link #dirtyTracking}
     */
    public void dirtyBitmap(long iova, long length, long page, int flags, MemorySegment bitmap) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_hwpt_get_dirty_bitmap.allocate(arena);
            iommu_hwpt_get_dirty_bitmap.size(cmd, (int) iommu_hwpt_get_dirty_bitmap.sizeof());
            iommu_hwpt_get_dirty_bitmap.hwpt_id(cmd, id);
            iommu_hwpt_get_dirty_bitmap.flags(cmd, flags);
            iommu_hwpt_get_dirty_bitmap.iova(cmd, iova);
            iommu_hwpt_get_dirty_bitmap.length(cmd, length);
            iommu_hwpt_get_dirty_bitmap.page_size(cmd, page);
            iommu_hwpt_get_dirty_bitmap.data(cmd, bitmap.address());
            int answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP(), cmd);
            SyscallException.check(
                    answer, "IOMMU_HWPT_GET_DIRTY_BITMAP", "hwpt " + id + " " + Ioas.range(iova, length));
        }
    }

    /** The context that owns it. */
    public IommuFd iommu() {
        return iommu;
    }

    /** The object's id in its context; a device can be attached to it. */
    public int id() {
        return id;
    }

    /** IOMMU_DESTROY; a second call does nothing. EBUSY while a device is attached: it stays open then. */
    @Override
    public void close() {
        if (open.compareAndSet(true, false) && iommu.fd() >= 0) {
            try {
                iommu.destroy(id);
            } catch (SyscallException refused) {
                open.set(true);
                throw refused;
            }
        }
    }
}
