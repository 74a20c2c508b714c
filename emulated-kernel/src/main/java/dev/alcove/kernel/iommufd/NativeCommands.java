// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.bindings.iommufd.iommu_veventq_alloc;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The table of native ioctls, 0x3b80 and up, and the rules for their structs. Objects that need a driver with virtual
 * IOMMU support answer as a kernel without one does.
 */
final class NativeCommands {
    static final int BASE = 0x80;
    private static final int TYPE = ';' << 8;
    private static final int MAX_EVENT_QUEUE_DEPTH = 1 << 19;

    /**
     * One ioctl.
     *
     * @param least bytes that the caller must give
     * @param size bytes that this kernel knows
     * @param minor the 6.x release that brought it
     */
    record Entry(int least, int size, int minor, CommandHandler handler) {}

    /** By number, from {@link #BASE}. */
    private static final @Nullable Entry[] ENTRIES = {
        new Entry(8, 8, 2, NativeCommands::destroy),
        new Entry(12, 12, 2, IoasCommands::alloc),
        new Entry(24, 24, 2, IoasCommands::allowIovas),
        new Entry(40, 40, 2, IoasCommands::copy),
        new Entry(32, 32, 2, IoasCommands::iovaRanges),
        new Entry(40, 40, 2, IoasCommands::map),
        new Entry(24, 24, 2, IoasCommands::unmap),
        new Entry(24, 24, 2, OptionCommands::option),
        new Entry(12, 12, 2, OptionCommands::vfioIoas),
        new Entry(24, 48, 6, HwptCommands::alloc),
        new Entry(32, 40, 6, HwptCommands::hwInfo),
        new Entry(16, 16, 7, HwptCommands::setDirtyTracking),
        new Entry(48, 48, 7, HwptCommands::getDirtyBitmap),
        new Entry(32, 32, 8, HwptCommands::invalidate),
        new Entry(16, 16, 11, HwptCommands::faultQueueAlloc),
        new Entry(40, 40, 13, IoasCommands::mapFile),
        new Entry(24, 40, 13, NativeCommands::viommuAlloc),
        new Entry(24, 24, 13, NativeCommands::vdeviceAlloc),
        new Entry(8, 8, 14, OptionCommands::changeProcess),
        new Entry(28, 32, 15, NativeCommands::veventqAlloc),
        new Entry(40, 40, 17, NativeCommands::hwQueueAlloc),
    };

    static final int LAST = BASE + ENTRIES.length - 1;

    private NativeCommands() {}

    /** Dispatches as {@code iommufd_fops_ioctl}; the request's number lies in the table. */
    static long execute(IommufdContext context, Task task, int request, long argument) {
        MemorySegment size = Command.zeroes(Integer.BYTES);
        int error = task.memory().copyIn(argument, size);
        if (error != 0) {
            return error;
        }
        int number = request & 0xff;
        Entry entry = number <= LAST ? ENTRIES[number - BASE] : context.module().addedCommand(number);
        if (entry == null
                || request != (TYPE | number)
                || !context.module().profile().atLeast(6, entry.minor())) {
            return -Errno.ENOTTY;
        }
        int userSize = iommu_destroy.size(size);
        if (Integer.compareUnsigned(userSize, entry.least()) < 0) {
            return -Errno.EINVAL;
        }
        Command command = new Command(task, argument, userSize, Command.zeroes(entry.size()));
        long copied = command.copyIn();
        return copied != 0 ? copied : entry.handler().execute(context, command);
    }

    private static long destroy(IommufdContext context, Command command) {
        return context.objects().destroy(iommu_destroy.id(command.struct()));
    }

    private static long viommuAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_viommu_alloc.flags(struct) != 0 || iommu_viommu_alloc.type(struct) == 0) {
            return -Errno.EOPNOTSUPP;
        }
        BoundDevice device = context.objects().get(iommu_viommu_alloc.dev_id(struct), BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        context.objects().put(device);
        return -Errno.EOPNOTSUPP;
    }

    private static long vdeviceAlloc(IommufdContext context, Command command) {
        // Without a virtual IOMMU every id of one is wrong.
        return -Errno.ENOENT;
    }

    private static long veventqAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_veventq_alloc.flags(struct) != 0
                || iommu_veventq_alloc.__reserved(struct) != 0
                || iommu_veventq_alloc.type(struct) == 0) {
            return -Errno.EOPNOTSUPP;
        }
        int depth = iommu_veventq_alloc.veventq_depth(struct);
        boolean tooDeep = context.module().profile().atLeast(7, 2)
                && Integer.compareUnsigned(depth, MAX_EVENT_QUEUE_DEPTH) > 0;
        return depth == 0 || tooDeep ? -Errno.EINVAL : -Errno.ENOENT;
    }

    private static long hwQueueAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_hw_queue_alloc.flags(struct) != 0 || iommu_hw_queue_alloc.type(struct) == 0) {
            return -Errno.EOPNOTSUPP;
        }
        long length = iommu_hw_queue_alloc.length(struct);
        if (length == 0) {
            return -Errno.EINVAL;
        }
        long iova = iommu_hw_queue_alloc.nesting_parent_iova(struct);
        return Long.compareUnsigned(iova + length - 1, iova) < 0 ? -Errno.EOVERFLOW : -Errno.ENOENT;
    }
}
