// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * The kernel's own users of an address space, and what they do to it. The list is guarded by the table's iova lock, which
 * each pin, unpin and copy holds for reading.
 */
final class IopAccesses {
    private final AreaTree areas;
    private final List<IommufdAccess> list = new ArrayList<>();

    /** @param areas of the table */
    IopAccesses(AreaTree areas) {
        this.areas = areas;
    }

    /** Adds a user; the caller holds all of the iova lock, here and below. */
    void add(IommufdAccess access) {
        list.add(access);
    }

    void remove(IommufdAccess access) {
        list.remove(access);
    }

    /** What every area must be aligned to. */
    long alignment() {
        long alignment = 1;
        for (IommufdAccess access : list) {
            alignment = Math.max(alignment, access.alignment());
        }
        return alignment;
    }

    /** Tells all users that a range is to be unmapped; the caller holds no lock. */
    void notifyUnmap(long iova, long last) {
        List<IommufdAccess> all;
        int hold = areas.lock().lockShared(iova, last);
        try {
            all = List.copyOf(list);
        } finally {
            areas.lock().unlockShared(hold);
        }
        all.forEach(access -> access.notifyUnmap(iova, last));
    }

    /** Work on the part of a range that lies in one area. */
    private interface Piece {
        /** 0, or a negated errno that ends the walk. */
        int on(IopArea area, IopPages pages, long iova, long last);
    }

    /** Walks a range without holes: 0, {@code -ENOENT} at a hole or an area in transition, or what a piece answers. */
    private int walk(long iova, long last, Piece piece) {
        for (long at = iova; ; ) {
            Span<IopArea> span = areas.first(at, at);
            IopPages pages = span == null ? null : span.value.pages;
            if (span == null || pages == null) {
                return -Errno.ENOENT;
            }
            long end = Long.compareUnsigned(span.last, last) < 0 ? span.last : last;
            int error = piece.on(span.value, pages, at, end);
            if (error != 0 || end == last) {
                return error;
            }
            at = end + 1;
        }
    }

    /** As {@link IommufdAccess#pinPages}. */
    int pin(long iova, long last, long[] frames, boolean write, boolean lockArea) {
        int hold = areas.lock().lockShared(iova, last);
        try {
            long[] done = {iova};
            int[] count = new int[1];
            int error = walk(iova, last, (area, pages, at, end) -> {
                if (area.preventAccess || !aligned(area, at, end == last)) {
                    return -Errno.EINVAL;
                }
                if (!allows(area, write) || (write && !pages.writable())) {
                    return -Errno.EPERM;
                }
                int failed = pages.addAccess(area, indexOf(area, at), indexOf(area, end), frames, count[0], lockArea);
                if (failed == 0) {
                    count[0] += (int) (indexOf(area, end) - indexOf(area, at)) + 1;
                    done[0] = end + 1;
                }
                return failed;
            });
            if (error != 0 && done[0] != iova) {
                removeAll(iova, done[0] - 1, lockArea);
            }
            return error;
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    /** As {@link IommufdAccess#unpinPages}. */
    void unpin(long iova, long last, boolean unlockArea) {
        int hold = areas.lock().lockShared(iova, last);
        try {
            removeAll(iova, last, unlockArea);
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    private void removeAll(long iova, long last, boolean unlockArea) {
        int error = walk(iova, last, (area, pages, at, end) -> {
            pages.removeAccess(area, indexOf(area, at), indexOf(area, end), unlockArea);
            return 0;
        });
        if (error != 0) {
            throw new AssertionError("what was pinned has gone");
        }
    }

    /** As {@link IommufdAccess#rw}. */
    int rw(Task task, long iova, MemorySegment data, int flags) {
        boolean write = (flags & IommufdAccess.WRITE) != 0;
        int hold = areas.lock().lockShared(iova, iova + data.byteSize() - 1);
        try {
            return walk(iova, iova + data.byteSize() - 1, (area, pages, at, end) -> {
                if (area.preventAccess) {
                    return -Errno.EINVAL;
                }
                if (!allows(area, write)) {
                    return -Errno.EPERM;
                }
                boolean slow = (flags & IommufdAccess.SLOW) != 0;
                MemorySegment part = data.asSlice(at - iova, end - at + 1);
                return pages.rw(slow ? null : task.mm(), area.startByteOf(at), part, write);
            });
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    private static boolean aligned(IopArea area, long iova, boolean lastArea) {
        return (area.startByteOf(iova) & (Linux.PAGE_SIZE - 1)) == 0
                && (lastArea || (area.startByteOf(area.last) + 1 & (Linux.PAGE_SIZE - 1)) == 0);
    }

    private static boolean allows(IopArea area, boolean write) {
        return (area.rights & (write ? IommuDomain.WRITE : IommuDomain.READ)) != 0;
    }

    private static long indexOf(IopArea area, long iova) {
        return area.startByteOf(iova) >>> Linux.PAGE_SHIFT;
    }
}
