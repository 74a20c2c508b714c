// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * The interrupts of a function that a VFIO user has taken (VFIO_DEVICE_SET_IRQS; drivers/vfio/pci/vfio_pci_intrs.c).
 *
 * <p>Lock: the function's monitor, which the function holds when it calls the sink.
 */
final class VfioInterrupts implements PciFunction.InterruptSink {
    private static final int HEADER = 20;

    private final PciFunction function;
    private final VfioConfigSpace config;
    private int inUse = -1;
    private @Nullable EventFile trigger;
    private @Nullable EventFile request;
    private boolean masked;

    VfioInterrupts(PciFunction function, VfioConfigSpace config) {
        this.function = function;
        this.config = config;
    }

    /** Interrupts of an index that the device has: {@code vfio_pci_get_irq_count}. */
    static int count(int index) {
        return index == vfio.VFIO_PCI_INTX_IRQ_INDEX()
                        || index == vfio.VFIO_PCI_MSI_IRQ_INDEX()
                        || index == vfio.VFIO_PCI_REQ_IRQ_INDEX()
                ? 1
                : 0;
    }

    /** Whether MSI is set up. */
    boolean messagesInUse() {
        return inUse == vfio.VFIO_PCI_MSI_IRQ_INDEX();
    }

    /** VFIO_DEVICE_SET_IRQS. */
    int set(Task task, long address) {
        UserStruct header = UserStruct.copyIn(task, address, HEADER);
        if (header == null) {
            return -Errno.EFAULT;
        }
        int flags = header.word(4);
        int index = header.word(8);
        int start = header.word(12);
        int count = header.word(16);
        int dataType = flags & 7;
        int action = flags & 0x38;
        if (header.shorterThan(HEADER)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_IRQS()) >= 0
                || Integer.compareUnsigned(count, -1 - start) >= 0
                || (flags & ~0x3f) != 0) {
            return -Errno.EINVAL;
        }
        int available = count(index);
        if (Integer.compareUnsigned(start, available) >= 0
                || Integer.toUnsignedLong(start) + Integer.toUnsignedLong(count) > available) {
            return -Errno.EINVAL;
        }
        int size = dataType == vfio.VFIO_IRQ_SET_DATA_NONE()
                ? 0
                : dataType == vfio.VFIO_IRQ_SET_DATA_BOOL()
                        ? 1
                        : dataType == vfio.VFIO_IRQ_SET_DATA_EVENTFD() ? 4 : -1;
        if (size < 0) {
            return -Errno.EINVAL;
        }
        byte[] data = new byte[count * size];
        if (size > 0) {
            if (Integer.toUnsignedLong(header.word(0)) - HEADER < data.length || data.length == 0) {
                return -Errno.EINVAL;
            }
            if (task.memory().copyIn(address + HEADER, MemorySegment.ofArray(data)) < 0) {
                return -Errno.EFAULT;
            }
        }
        synchronized (function) {
            return apply(task, index, action, dataType, count, data);
        }
    }

    private int apply(Task task, int index, int action, int dataType, int count, byte[] data) {
        boolean eventfd = dataType == vfio.VFIO_IRQ_SET_DATA_EVENTFD();
        if (index == vfio.VFIO_PCI_INTX_IRQ_INDEX() && action == vfio.VFIO_IRQ_SET_ACTION_MASK()) {
            return mask(true, count, eventfd, data);
        }
        if (index == vfio.VFIO_PCI_INTX_IRQ_INDEX() && action == vfio.VFIO_IRQ_SET_ACTION_UNMASK()) {
            return mask(false, count, eventfd, data);
        }
        if (action != vfio.VFIO_IRQ_SET_ACTION_TRIGGER()) {
            return -Errno.ENOTTY;
        }
        if (index == vfio.VFIO_PCI_REQ_IRQ_INDEX()) {
            return setRequest(task, dataType, count, data);
        }
        return setTrigger(task, index, dataType, count, data);
    }

    private int mask(boolean mask, int count, boolean eventfd, byte[] data) {
        if (inUse != vfio.VFIO_PCI_INTX_IRQ_INDEX() || count != 1) {
            return -Errno.EINVAL;
        }
        if (eventfd) {
            // Unmasking by an eventfd needs a worker that nobody here has asked for yet; masking by one is -ENOTTY
            // in Linux as well.
            return -Errno.ENOTTY;
        }
        if (data.length == 0 || data[0] != 0) {
            masked = mask;
            if (!mask) {
                pin(function.pinAsserted());
            }
        }
        return 0;
    }

    private int setTrigger(Task task, int index, int dataType, int count, byte[] data) {
        boolean none = dataType == vfio.VFIO_IRQ_SET_DATA_NONE();
        if (count == 0 && none) {
            if (inUse != index) {
                return -Errno.EINVAL;
            }
            disable();
            return 0;
        }
        if ((inUse >= 0 && inUse != index) || count != 1) {
            return -Errno.EINVAL;
        }
        if (dataType == vfio.VFIO_IRQ_SET_DATA_EVENTFD()) {
            int fd = MemorySegment.ofArray(data).get(ValueLayout.JAVA_INT_UNALIGNED, 0);
            OpenFile file = fd < 0 ? null : task.file(fd);
            if (fd >= 0 && file == null) {
                return -Errno.EBADF;
            }
            if (file != null && !(file instanceof EventFile)) {
                return -Errno.EINVAL;
            }
            replaceTrigger((EventFile) file);
            if (inUse != index) {
                enable(index);
            }
            return 0;
        }
        if (inUse != index) {
            return -Errno.EINVAL;
        }
        EventFile event = trigger;
        if (event != null && (none || data[0] != 0)) {
            event.signal(1);
        }
        return 0;
    }

    private int setRequest(Task task, int dataType, int count, byte[] data) {
        EventFile old = request;
        if (dataType == vfio.VFIO_IRQ_SET_DATA_NONE()) {
            if (count == 0) {
                request = null;
                if (old != null) {
                    old.put();
                }
                return 0;
            }
            if (old == null) {
                return -Errno.EINVAL;
            }
            old.signal(1);
            return 0;
        }
        if (dataType == vfio.VFIO_IRQ_SET_DATA_BOOL()) {
            if (old != null && data[0] != 0) {
                old.signal(1);
            }
            return 0;
        }
        int fd = MemorySegment.ofArray(data).get(ValueLayout.JAVA_INT_UNALIGNED, 0);
        OpenFile file = fd < 0 ? null : task.file(fd);
        if (fd >= 0 && file == null) {
            return -Errno.EBADF;
        }
        if (file != null && !(file instanceof EventFile)) {
            return -Errno.EINVAL;
        }
        if (file != null) {
            file.get();
        }
        request = (EventFile) file;
        if (old != null) {
            old.put();
        }
        return 0;
    }

    private void enable(int index) {
        boolean messages = index == vfio.VFIO_PCI_MSI_IRQ_INDEX();
        inUse = index;
        masked = false;
        config.setMessagesInUse(messages);
        function.enableMessages(messages);
        if (!messages) {
            pin(function.pinAsserted());
        }
    }

    private void replaceTrigger(@Nullable EventFile event) {
        if (event != null) {
            event.get();
        }
        EventFile old = trigger;
        trigger = event;
        if (old != null) {
            old.put();
        }
    }

    private void disable() {
        replaceTrigger(null);
        inUse = -1;
        config.setMessagesInUse(false);
        function.enableMessages(false);
    }

    /** Lets go of everything, when the device is closed. */
    void close() {
        synchronized (function) {
            disable();
            EventFile old = request;
            request = null;
            if (old != null) {
                old.put();
            }
        }
    }

    @Override
    public void message(int vector) {
        EventFile event = trigger;
        if (event != null && messagesInUse()) {
            event.signal(1);
        }
    }

    /** A level interrupt is masked when it fires, until the user unmasks it (VFIO_IRQ_INFO_AUTOMASKED). */
    @Override
    public void pin(boolean asserted) {
        EventFile event = trigger;
        if (asserted && event != null && !masked && inUse == vfio.VFIO_PCI_INTX_IRQ_INDEX()) {
            masked = true;
            event.signal(1);
        }
    }
}
