// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** IOMMU_HW_QUEUE_ALLOC. */
final class HwQueueAllocCommand {
    private HwQueueAllocCommand() {}

    static long execute(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int type = iommu_hw_queue_alloc.type(struct);
        if (iommu_hw_queue_alloc.flags(struct) != 0 || type == 0) {
            return -Errno.EOPNOTSUPP;
        }
        long length = iommu_hw_queue_alloc.length(struct);
        long iova = iommu_hw_queue_alloc.nesting_parent_iova(struct);
        if (length == 0) {
            return -Errno.EINVAL;
        }
        if (Long.compareUnsigned(iova + length - 1, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        ObjectTable objects = context.objects();
        VirtualIommu viommu = objects.get(iommu_hw_queue_alloc.viommu_id(struct), VirtualIommu.class);
        if (viommu == null) {
            return -Errno.ENOENT;
        }
        objects.put(viommu);
        return -Errno.EOPNOTSUPP;
    }
}
