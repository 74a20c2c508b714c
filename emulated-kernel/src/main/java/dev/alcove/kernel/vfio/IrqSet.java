// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/** The argument of VFIO_DEVICE_SET_IRQS, copied in and checked ({@code vfio_set_irqs_validate_and_prepare}). */
final class IrqSet {
    private static final int HEADER = 20;
    private static final int KNOWN_FLAGS = vfio.VFIO_IRQ_SET_DATA_TYPE_MASK() | vfio.VFIO_IRQ_SET_ACTION_TYPE_MASK();

    int index;
    int start;
    int count;
    int action;
    private int dataType;
    private byte[] data = {};

    /**
     * Copies and checks: 0, {@code -EFAULT}, {@code -EINVAL} or {@code -ENOMEM}.
     *
     * @param counts how many interrupts an index has
     */
    int copyIn(Task task, long address, IntUnaryOperator counts, Allocator allocator) {
        UserStruct header = UserStruct.copyIn(task, address, HEADER);
        if (header == null) {
            return -Errno.EFAULT;
        }
        int flags = header.word(4);
        start = header.word(12);
        index = header.word(8);
        count = header.word(16);
        dataType = flags & vfio.VFIO_IRQ_SET_DATA_TYPE_MASK();
        action = flags & vfio.VFIO_IRQ_SET_ACTION_TYPE_MASK();
        if (header.shorterThan(HEADER)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_IRQS()) >= 0
                || Integer.compareUnsigned(count, -1 - start) >= 0
                || (flags & ~KNOWN_FLAGS) != 0) {
            return -Errno.EINVAL;
        }
        int available = counts.applyAsInt(index);
        if (Integer.compareUnsigned(start, available) >= 0
                || Integer.toUnsignedLong(start) + Integer.toUnsignedLong(count) > available) {
            return -Errno.EINVAL;
        }
        int size = none() ? 0 : isBool() ? 1 : eventfd() ? Integer.BYTES : -1;
        if (size < 0 || Integer.toUnsignedLong(header.word(0)) - HEADER < (long) count * size) {
            return -Errno.EINVAL;
        }
        data = new byte[count * size];
        if (data.length == 0) {
            return 0;
        }
        return !allocator.charge("interrupts to be set") ? -Errno.ENOMEM : task.memory().copyIn(address + HEADER, MemorySegment.ofArray(data));
    }

    boolean none() {
        return dataType == vfio.VFIO_IRQ_SET_DATA_NONE();
    }

    boolean isBool() {
        return dataType == vfio.VFIO_IRQ_SET_DATA_BOOL();
    }

    boolean eventfd() {
        return dataType == vfio.VFIO_IRQ_SET_DATA_EVENTFD();
    }

    /** A boolean, counted from the first of the call; false when there is none. */
    boolean bool(int i) {
        return isBool() && i < data.length && data[i] != 0;
    }

    /** A descriptor, counted from the first of the call. */
    int fd(int i) {
        return MemorySegment.ofArray(data).get(ValueLayout.JAVA_INT_UNALIGNED, (long) i * Integer.BYTES);
    }

    /**
     * An eventfd, counted from the first of the call.
     *
     * @param event receives it in element 0, without a reference of its own; null for a negative descriptor
     * @return 0, {@code -EBADF} or {@code -EINVAL}
     */
    int event(Task task, int i, @Nullable EventFile[] event) {
        return eventOf(task, fd(i), event);
    }

    /** As {@link #event}, of any descriptor. */
    static int eventOf(Task task, int fd, @Nullable EventFile[] event) {
        event[0] = null;
        if (fd < 0) {
            return 0;
        }
        OpenFile file = task.file(fd);
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof EventFile eventFile)) {
            return -Errno.EINVAL;
        }
        event[0] = eventFile;
        return 0;
    }
}
