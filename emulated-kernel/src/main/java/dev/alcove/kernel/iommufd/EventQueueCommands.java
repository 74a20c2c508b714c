// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.iommufd.iommu_veventq_alloc;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.function.IntConsumer;

/** The ioctls that make queues with files to read them from. */
final class EventQueueCommands {
    private static final int MOST_EVENTS = 1 << 19;

    private EventQueueCommands() {}

    static long faultQueueAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_fault_alloc.flags(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        int id = context.objects().reserve();
        if (id < 0) {
            return id;
        }
        iommu_fault_alloc.out_fault_id(struct, id);
        return publish(
                context, command, new FaultQueue(id, context), fd -> iommu_fault_alloc.out_fault_fd(struct, fd));
    }

    static long veventqAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int type = iommu_veventq_alloc.type(struct);
        if (iommu_veventq_alloc.flags(struct) != 0 || iommu_veventq_alloc.__reserved(struct) != 0 || type == 0) {
            return -Errno.EOPNOTSUPP;
        }
        int depth = iommu_veventq_alloc.veventq_depth(struct);
        boolean limited = context.module().profile().atLeast(7, 2);
        if (depth == 0 || (limited && Integer.compareUnsigned(depth, MOST_EVENTS) > 0)) {
            return -Errno.EINVAL;
        }
        ObjectTable objects = context.objects();
        VirtualIommu viommu = objects.get(iommu_veventq_alloc.viommu_id(struct), VirtualIommu.class);
        if (viommu == null) {
            return -Errno.ENOENT;
        }
        try {
            if (viommu.eventQueue(type) != null) {
                return -Errno.EEXIST;
            }
            int id = objects.reserve();
            if (id < 0) {
                return id;
            }
            VirtualEventQueue queue = new VirtualEventQueue(id, context, viommu, type, depth);
            if (!viommu.add(queue)) {
                objects.use(viommu, -1);
                objects.cancel(id);
                return -Errno.EEXIST;
            }
            iommu_veventq_alloc.out_veventq_id(struct, id);
            return publish(context, command, queue, fd -> iommu_veventq_alloc.out_veventq_fd(struct, fd));
        } finally {
            objects.put(viommu);
        }
    }

    /** Opens the queue's file and tells the caller, or takes everything back. */
    private static long publish(IommufdContext context, Command command, EventQueue queue, IntConsumer outFd) {
        int fd = command.task().install(queue.open(), true);
        long error = Math.min(fd, 0);
        if (fd >= 0) {
            outFd.accept(fd);
            error = command.respond();
            if (error != 0) {
                command.task().uninstall(fd);
            }
        }
        if (error != 0) {
            queue.destroy();
            context.objects().cancel(queue.id());
            return error;
        }
        context.objects().add(queue);
        return 0;
    }
}
