// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The table of native ioctls, 0x3b80 and up, and the rules for their structs.
 */
final class NativeCommands {
    static final int BASE = 0x80;
    private static final int TYPE = ';' << 8;

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
        new Entry(24, 48, 6, HwptAllocCommand::execute),
        new Entry(32, 40, 6, HwInfoCommand::execute),
        new Entry(16, 16, 7, DirtyCommands::setTracking),
        new Entry(48, 48, 7, DirtyCommands::getBitmap),
        new Entry(32, 32, 8, HwptInvalidateCommand::execute),
        new Entry(16, 16, 11, EventQueueCommands::faultQueueAlloc),
        new Entry(40, 40, 13, IoasCommands::mapFile),
        new Entry(24, 40, 13, VirtualIommuCommands::viommuAlloc),
        new Entry(24, 24, 13, VirtualIommuCommands::vdeviceAlloc),
        new Entry(8, 8, 14, OptionCommands::changeProcess),
        new Entry(28, 32, 15, EventQueueCommands::veventqAlloc),
        new Entry(40, 40, 17, HwQueueAllocCommand::execute),
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
                || !context.module().has(entry.minor())) {
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
}
