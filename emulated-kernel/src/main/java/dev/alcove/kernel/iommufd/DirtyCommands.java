// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** The ioctls that tell what DMA wrote to. */
final class DirtyCommands {
    private static final int ENABLE = 1;
    private static final int NO_CLEAR = 1;

    private record IovaRange(long iova, long length) {}

    private DirtyCommands() {}

    static long setTracking(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_hwpt_set_dirty_tracking.flags(struct);
        if ((flags & ~ENABLE) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onHwpt(context, iommu_hwpt_set_dirty_tracking.hwpt_id(struct), hwpt -> {
            if (!hwpt.domain.tracksDirty()) {
                return -Errno.EOPNOTSUPP;
            }
            hwpt.ioas.table.mapped().setDirtyTracking(hwpt.domain, (flags & ENABLE) != 0);
            return 0;
        });
    }

    static long getBitmap(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_hwpt_get_dirty_bitmap.flags(struct);
        if ((flags & ~NO_CLEAR) != 0 || iommu_hwpt_get_dirty_bitmap.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onHwpt(context, iommu_hwpt_get_dirty_bitmap.hwpt_id(struct), hwpt -> {
            long error = checkRange(context, hwpt, struct);
            if (error != 0) {
                return error;
            }
            if (!hwpt.domain.tracksDirty()) {
                return -Errno.EOPNOTSUPP;
            }
            if (!context.module().allocator().charge("iova bitmap")) {
                return -Errno.ENOMEM;
            }
            long iova = iommu_hwpt_get_dirty_bitmap.iova(struct);
            long length = iommu_hwpt_get_dirty_bitmap.length(struct);
            // The user's memory is written when the locks of the page table are dropped.
            List<IovaRange> dirty = new ArrayList<>();
            boolean clear = (flags & NO_CLEAR) == 0;
            hwpt.ioas
                    .table
                    .mapped()
                    .readDirty(hwpt.domain, iova, length, clear, (at, bytes) -> dirty.add(new IovaRange(at, bytes)));
            IovaBitmap bitmap = new IovaBitmap(
                    command.task().memory(),
                    iova,
                    length,
                    iommu_hwpt_get_dirty_bitmap.page_size(struct),
                    iommu_hwpt_get_dirty_bitmap.data(struct));
            dirty.forEach(range -> bitmap.set(range.iova(), range.length()));
            bitmap.flush();
            return 0;
        });
    }

    private static long checkRange(IommufdContext context, Hwpt hwpt, MemorySegment struct) {
        long iova = iommu_hwpt_get_dirty_bitmap.iova(struct);
        long end = iova + iommu_hwpt_get_dirty_bitmap.length(struct);
        long page = iommu_hwpt_get_dirty_bitmap.page_size(struct);
        if (end == iova && !context.module().profile().atLeast(7, 0)) {
            return -Errno.EINVAL;
        }
        if (Long.compareUnsigned(end - 1, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        boolean aligned = page != 0 && ((iova | end) & (hwpt.ioas.table.alignment() - 1 | page - 1)) == 0;
        return aligned ? 0 : -Errno.EINVAL;
    }

    private interface HwptWork {
        long on(Hwpt hwpt);
    }

    private static long onHwpt(IommufdContext context, int id, HwptWork work) {
        Hwpt hwpt = context.objects().get(id, Hwpt.class);
        if (hwpt == null) {
            return -Errno.ENOENT;
        }
        try {
            return work.on(hwpt);
        } finally {
            context.objects().put(hwpt);
        }
    }
}
