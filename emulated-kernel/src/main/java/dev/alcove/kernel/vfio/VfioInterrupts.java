// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The interrupts of a function that a VFIO user has taken (VFIO_DEVICE_SET_IRQS; drivers/vfio/pci/vfio_pci_intrs.c).
 *
 * <p>The pin is masked at the function, by the command register, when it fires and when the user says so. The user's own
 * view of that register is virtual: disabling the pin there keeps the eventfd quiet as well.
 *
 * <p>Lock: the function's monitor, which the function holds when it calls the sink.
 */
final class VfioInterrupts implements PciFunction.InterruptSink {
    private static final int NONE = -1;
    private static final int PIN = vfio.VFIO_PCI_INTX_IRQ_INDEX();
    private static final int MSI = vfio.VFIO_PCI_MSI_IRQ_INDEX();
    private static final int MSIX = vfio.VFIO_PCI_MSIX_IRQ_INDEX();
    private static final int ERROR = vfio.VFIO_PCI_ERR_IRQ_INDEX();
    private static final int REQUEST = vfio.VFIO_PCI_REQ_IRQ_INDEX();

    private final PciFunction function;
    private final Allocator allocator;
    private int inUse = NONE;
    private @Nullable EventFile trigger;
    private @Nullable VfioMessages messages;

    /** Of the interrupts that the function does not send: an error on its bus, and the wish to have it back. */
    private final @Nullable EventFile[] events = new @Nullable EventFile[REQUEST + 1];

    private @Nullable Virqfd unmask;
    private boolean masked;

    /** Whether the user's command register disables the pin. */
    private boolean disabled;

    VfioInterrupts(PciFunction function, Allocator allocator) {
        this.function = function;
        this.allocator = allocator;
    }

    /** Interrupts of an index that the device has: {@code vfio_pci_get_irq_count}. */
    int count(int index) {
        if (index == PIN || index == REQUEST) {
            return 1;
        }
        return index == ERROR ? (function.express() ? 1 : 0) : VfioMessages.count(function, index);
    }

    /** Whether MSI is set up. */
    boolean msiInUse() {
        return inUse == MSI;
    }

    /** VFIO_DEVICE_SET_IRQS. */
    int set(Task task, long address) {
        IrqSet call = new IrqSet();
        int error = call.copyIn(task, address, this::count, allocator);
        if (error != 0) {
            return error;
        }
        synchronized (function) {
            if (call.index == PIN) {
                return setPin(task, call);
            }
            if (call.action != vfio.VFIO_IRQ_SET_ACTION_TRIGGER()) {
                return -Errno.ENOTTY;
            }
            return call.index == MSI || call.index == MSIX ? setMessages(task, call) : setEvent(task, call);
        }
    }

    private int setPin(Task task, IrqSet call) {
        if (call.action == vfio.VFIO_IRQ_SET_ACTION_TRIGGER()) {
            return setPinTrigger(task, call);
        }
        boolean unmasking = call.action == vfio.VFIO_IRQ_SET_ACTION_UNMASK();
        if (!unmasking && call.action != vfio.VFIO_IRQ_SET_ACTION_MASK()) {
            return -Errno.ENOTTY;
        }
        if (inUse != PIN || call.count != 1) {
            return -Errno.EINVAL;
        }
        if (call.eventfd()) {
            return unmasking ? setUnmask(task, call) : -Errno.ENOTTY;
        }
        if (call.none() || call.bool(0)) {
            if (unmasking) {
                unmask();
            } else {
                mask();
            }
        }
        return 0;
    }

    private int setUnmask(Task task, IrqSet call) {
        if (call.fd(0) < 0) {
            stopUnmask();
            return 0;
        }
        if (!allocator.charge("virqfd")) {
            return -Errno.ENOMEM;
        }
        EventFile[] event = new EventFile[1];
        int error = call.event(task, 0, event);
        if (error == 0 && unmask != null && !unmask.over()) {
            error = -Errno.EBUSY;
        }
        if (error == 0) {
            unmask = new Virqfd(function, event[0], this::unmaskByEvent);
            unmask.start();
        }
        return error;
    }

    private void unmaskByEvent() {
        synchronized (function) {
            if (inUse == PIN) {
                unmask();
            }
        }
    }

    private void stopUnmask() {
        if (unmask != null) {
            unmask.stop();
            unmask = null;
        }
    }

    private int setPinTrigger(Task task, IrqSet call) {
        if (inUse == PIN && call.count == 0 && call.none()) {
            disablePin();
            return 0;
        }
        if ((inUse != PIN && inUse != NONE) || call.count != 1) {
            return -Errno.EINVAL;
        }
        if (call.eventfd()) {
            EventFile[] event = new EventFile[1];
            int error = call.event(task, 0, event);
            if (error == 0 && inUse == NONE && !chargeInterrupt(allocator)) {
                return -Errno.ENOMEM;
            }
            if (error == 0) {
                replaceTrigger(event[0]);
                if (inUse == NONE) {
                    enablePin();
                }
            }
            return error;
        }
        if (inUse != PIN) {
            return -Errno.EINVAL;
        }
        if (call.none() || call.bool(0)) {
            signalPin();
        }
        return 0;
    }

    /** Whether there is memory for an interrupt that is taken: its name, what it stands for, and its handler. */
    static boolean chargeInterrupt(Allocator allocator) {
        return allocator.charge("name of an interrupt")
                && allocator.charge("vfio interrupt")
                && allocator.charge("interrupt handler");
    }

    private void enablePin() {
        masked = disabled;
        disableAtFunction(masked);
        inUse = PIN;
        pin(function.pinAsserted());
    }

    private void disablePin() {
        stopUnmask();
        replaceTrigger(null);
        inUse = NONE;
    }

    private void disableAtFunction(boolean disable) {
        int bit = PciFunction.COMMAND_INTX_DISABLE;
        function.changeCommand(disable ? 0 : bit, disable ? bit : 0);
    }

    private void mask() {
        if (inUse != PIN) {
            disableAtFunction(true);
        } else if (!masked) {
            disableAtFunction(true);
            masked = true;
        }
    }

    /** An interrupt that is pending is sent at once, with the pin still masked. */
    private void unmask() {
        if (inUse != PIN) {
            disableAtFunction(false);
        } else if (masked && !disabled) {
            if (function.pinPending()) {
                signalPin();
            } else {
                masked = false;
                disableAtFunction(false);
            }
        }
    }

    private void signalPin() {
        EventFile event = trigger;
        if (event != null && !disabled) {
            event.signal(1);
        }
    }

    /** What the user has written into the command register's INTx disable bit. */
    void disablePin(boolean disable) {
        if (disable && !disabled) {
            disabled = true;
            mask();
        } else if (!disable && disabled) {
            disabled = false;
            unmask();
        }
    }

    private int setMessages(Task task, IrqSet call) {
        VfioMessages current = messages;
        if (inUse == call.index && call.count == 0 && call.none()) {
            disableMessages();
            return 0;
        }
        if (inUse != call.index && inUse != NONE) {
            return -Errno.EINVAL;
        }
        if (call.eventfd()) {
            return current == null ? enableMessages(task, call) : current.setTriggers(task, call);
        }
        if (current == null) {
            return -Errno.EINVAL;
        }
        current.loopBack(call);
        return 0;
    }

    private int enableMessages(Task task, IrqSet call) {
        if (call.start + call.count == 0) {
            return -Errno.ERANGE;
        }
        if (!allocator.charge("interrupt vectors")) {
            return -Errno.ENOMEM;
        }
        VfioMessages created = new VfioMessages(function, call.index, allocator);
        inUse = call.index;
        messages = created;
        disableAtFunction(true);
        created.enable();
        int error = created.setTriggers(task, call);
        if (error != 0) {
            disableMessages();
        }
        return error;
    }

    private void disableMessages() {
        if (messages != null) {
            messages.disable();
            messages = null;
        }
        inUse = NONE;
        disableAtFunction(false);
    }

    /** Errors of a PCI Express function, and the wish to have the function back. */
    private int setEvent(Task task, IrqSet call) {
        EventFile old = events[call.index];
        if (call.eventfd() && call.count != 0 && call.fd(0) >= -1) {
            EventFile[] event = new EventFile[1];
            int error = call.event(task, 0, event);
            if (error == 0 && event[0] != null && !allocator.charge("vfio eventfd")) {
                return -Errno.ENOMEM;
            }
            if (error == 0) {
                replaceEvent(call.index, event[0]);
            }
            return error;
        }
        if (call.isBool() && call.count != 0) {
            if (old != null && call.bool(0)) {
                old.signal(1);
            }
            return 0;
        }
        if (!call.none() || old == null) {
            return -Errno.EINVAL;
        }
        if (call.count == 0) {
            replaceEvent(call.index, null);
        } else {
            old.signal(1);
        }
        return 0;
    }

    private void replaceEvent(int index, @Nullable EventFile event) {
        EventFile old = events[index];
        if (event != null) {
            event.get();
        }
        events[index] = event;
        if (old != null) {
            old.put();
        }
    }

    private void replaceTrigger(@Nullable EventFile event) {
        EventFile old = trigger;
        if (event != null) {
            event.get();
        }
        trigger = event;
        if (old != null) {
            old.put();
        }
    }

    /** Lets go of everything, when the device is closed. */
    void close() {
        synchronized (function) {
            if (inUse == PIN) {
                disablePin();
            } else if (inUse != NONE) {
                disableMessages();
            }
            replaceEvent(ERROR, null);
            replaceEvent(REQUEST, null);
        }
    }

    @Override
    public void message(int vector) {
        if (messages != null) {
            messages.message(vector);
        }
    }

    /** A level interrupt is masked when it fires, until the user unmasks it (VFIO_IRQ_INFO_AUTOMASKED). */
    @Override
    public void pin(boolean asserted) {
        if (asserted && !masked && inUse == PIN) {
            masked = true;
            disableAtFunction(true);
            signalPin();
        }
    }
}
