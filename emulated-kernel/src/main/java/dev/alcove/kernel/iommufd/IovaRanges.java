// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.ReservedRegion;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;

/**
 * Which IOVAs of an I/O address space areas may have: not the reserved ones of devices and domains, and where user space
 * has said so ({@code IOMMU_IOAS_ALLOW_IOVAS}) the kernel chooses from the allowed ones only.
 *
 * <p>Lock: the {@link IoPageTable}'s iova lock. Methods take it, but for those whose text says that it is held.
 */
final class IovaRanges {
    private final Allocator allocator;
    private final AreaTree areas;
    private IntervalTree<Object> allowed = new IntervalTree<>();
    private final IntervalTree<Object> reserved = new IntervalTree<>();

    IovaRanges(Allocator allocator, AreaTree areas) {
        this.allocator = allocator;
        this.areas = areas;
    }

    /** Whether a part of a range is reserved; the lock is held. */
    boolean reserved(long first, long last) {
        return reserved.overlaps(first, last);
    }

    /** Chooses an IOVA as {@link IovaAllocator#allocate} does; the lock is held. */
    int allocate(long address, long length, long alignment, long[] iova) {
        return IovaAllocator.allocate(allowed, reserved, areas, address, length, alignment, iova);
    }

    /** Reserves all but [first, last] for an owner: 0, {@code -EADDRINUSE} or {@code -ENOMEM}; the lock is held. */
    int reserveOutside(long first, long last, Object owner) {
        int error = first == 0 ? 0 : reserve(0, first - 1, owner);
        return error != 0 || last == -1 ? error : reserve(last + 1, -1, owner);
    }

    /** Undoes all reservations of an owner; the lock is held. */
    void removeOwner(Object owner) {
        reserved.removeOwner(owner);
    }

    /**
     * Keeps a device's reserved regions free of areas; {@code -EADDRINUSE -ENOMEM}, and {@code -EINVAL} by fail_iommufd,
     * with nothing reserved.
     */
    int reserveRegions(IommuDevice device) {
        if (!allocator.chargeIommufd("reserved regions of a device")) {
            return -Errno.EINVAL;
        }
        int hold = areas.lock().lockAll();
        try {
            for (ReservedRegion region : device.reservedRegions()) {
                if (region.type() == ReservedRegion.Type.DIRECT_RELAXABLE) {
                    continue;
                }
                int error = reserve(region.first(), region.last(), device);
                if (error != 0) {
                    reserved.removeOwner(device);
                    return error;
                }
            }
            return 0;
        } finally {
            areas.lock().unlock(hold);
        }
    }

    /** Undoes all reservations of a device. */
    void unreserve(IommuDevice device) {
        int hold = areas.lock().lockAll();
        try {
            reserved.removeOwner(device);
        } finally {
            areas.lock().unlock(hold);
        }
    }

    /** Keeps a range free of areas for good: 0, {@code -EADDRINUSE} or {@code -ENOMEM}. */
    int reserve(long first, long last) {
        int hold = areas.lock().lockAll();
        try {
            return reserve(first, last, this);
        } finally {
            areas.lock().unlock(hold);
        }
    }

    private int reserve(long first, long last, Object owner) {
        if (areas.overlaps(first, last) || allowed.overlaps(first, last)) {
            return -Errno.EADDRINUSE;
        }
        if (!allocator.charge("iommufd reserved range")) {
            return -Errno.ENOMEM;
        }
        reserved.insert(first, last, owner);
        return 0;
    }

    /** Replaces the allowed ranges; {@code -EADDRINUSE} when one is reserved, with the old ones kept. */
    int allow(IntervalTree<Object> ranges) {
        int hold = areas.lock().lockAll();
        try {
            Span<Object> span = ranges.first(0, -1);
            while (span != null) {
                if (reserved.overlaps(span.first, span.last)) {
                    return -Errno.EADDRINUSE;
                }
                span = span.last == -1 ? null : ranges.first(span.last + 1, -1);
            }
            allowed = ranges;
            return 0;
        } finally {
            areas.lock().unlock(hold);
        }
    }

    /** The holes between reserved ranges. */
    void usableRanges(Intervals.Hole consumer) {
        int hold = areas.lock().lockAllShared();
        try {
            reserved.holes(0, -1, consumer);
        } finally {
            areas.lock().unlockShared(hold);
        }
    }
}
