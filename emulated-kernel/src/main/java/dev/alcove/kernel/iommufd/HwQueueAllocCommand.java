// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** IOMMU_HW_QUEUE_ALLOC: gives the hardware a queue in the memory of a virtual IOMMU's guest. */
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
        try {
            return viommu.driver().queues(type) ? alloc(context, command, viommu) : -Errno.EOPNOTSUPP;
        } finally {
            objects.put(viommu);
        }
    }

    private static long alloc(IommufdContext context, Command command, VirtualIommu viommu) {
        ObjectTable objects = context.objects();
        MemorySegment struct = command.struct();
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        long iova = iommu_hw_queue_alloc.nesting_parent_iova(struct);
        long length = iommu_hw_queue_alloc.length(struct);
        switch (QueuePin.pin(context, viommu.parent().ioas, iova, length)) {
            case DriverOutcome.Refused<QueuePin> refused -> {
                objects.cancel(id);
                return -refused.errno();
            }
            case DriverOutcome.Made<QueuePin> pin -> {
                int type = iommu_hw_queue_alloc.type(struct);
                HwQueue queue = new HwQueue(id, objects, viommu, type, iova, length, pin.object());
                iommu_hw_queue_alloc.out_hw_queue_id(struct, id);
                long error = start(queue, viommu, iommu_hw_queue_alloc.index(struct), pin.object());
                if (error == 0) {
                    error = command.respond();
                }
                if (error != 0) {
                    queue.destroy();
                    objects.cancel(id);
                    return error;
                }
                objects.add(queue);
                return 0;
            }
        }
    }

    private static long start(HwQueue queue, VirtualIommu viommu, int index, QueuePin pin) {
        return switch (viommu.driver().newQueue(queue, index, pin.address())) {
            case DriverOutcome.Refused<HwQueueDriver> refused -> -refused.errno();
            case DriverOutcome.Made<HwQueueDriver> made -> {
                queue.accept(made.object());
                yield 0;
            }
        };
    }
}
