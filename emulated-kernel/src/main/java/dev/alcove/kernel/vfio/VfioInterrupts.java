// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
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
    private static final int MESSAGES = vfio.VFIO_PCI_MSI_IRQ_INDEX();

    private final PciFunction function;
    private int inUse = NONE;
    private @Nullable EventFile trigger;
    private @Nullable EventFile request;
    private @Nullable Virqfd unmask;
    private boolean masked;

    /** Whether a message came before there was a first trigger: the kernel's interrupt core keeps one. */
    private boolean messagePending;

    /** Whether messages have had a trigger; what comes after the last one is lost. */
    private boolean triggered;

    /** Whether the user's command register disables the pin. */
    private boolean disabled;

    VfioInterrupts(PciFunction function) {
        this.function = function;
    }

    /** Interrupts of an index that the device has: {@code vfio_pci_get_irq_count}. */
    static int count(int index) {
        return index == PIN || index == MESSAGES || index == vfio.VFIO_PCI_REQ_IRQ_INDEX() ? 1 : 0;
    }

    /** Whether MSI is set up. */
    boolean messagesInUse() {
        return inUse == MESSAGES;
    }

    /** VFIO_DEVICE_SET_IRQS. */
    int set(Task task, long address) {
        IrqSet call = new IrqSet();
        int error = call.copyIn(task, address);
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
            return call.index == MESSAGES ? setMessages(task, call) : setRequest(task, call);
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
        if (call.none() || call.bool()) {
            if (unmasking) {
                unmask();
            } else {
                mask();
            }
        }
        return 0;
    }

    private int setUnmask(Task task, IrqSet call) {
        if (call.fd() < 0) {
            stopUnmask();
            return 0;
        }
        EventFile[] event = new EventFile[1];
        int error = call.event(task, event);
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
            int error = call.event(task, event);
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
        if (call.none() || call.bool()) {
            signalPin();
        }
        return 0;
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
        if (inUse == MESSAGES && call.count == 0 && call.none()) {
            disableMessages();
            return 0;
        }
        if (inUse != MESSAGES && inUse != NONE) {
            return -Errno.EINVAL;
        }
        if (call.eventfd()) {
            return setMessageTrigger(task, call);
        }
        if (inUse != MESSAGES) {
            return -Errno.EINVAL;
        }
        EventFile event = trigger;
        if (event != null && call.count != 0 && (call.none() || call.bool())) {
            event.signal(1);
        }
        return 0;
    }

    private int setMessageTrigger(Task task, IrqSet call) {
        if (call.count == 0) {
            return inUse == NONE ? -Errno.ERANGE : 0;
        }
        boolean first = inUse == NONE;
        if (first) {
            enableMessages();
        }
        EventFile[] event = new EventFile[1];
        int error = call.event(task, event);
        replaceTrigger(event[0]);
        if (error != 0 && first) {
            disableMessages();
        } else if (event[0] != null) {
            triggered = true;
            if (messagePending) {
                messagePending = false;
                event[0].signal(1);
            }
        }
        return error;
    }

    private void enableMessages() {
        inUse = MESSAGES;
        disableAtFunction(true);
        enableAtFunction(PciFunction.MSI_ENABLE);
    }

    private void disableMessages() {
        messagePending = false;
        triggered = false;
        replaceTrigger(null);
        inUse = NONE;
        enableAtFunction(0);
        disableAtFunction(false);
    }

    private void enableAtFunction(int enable) {
        int control = function.configRead(PciFunction.MSI_CONTROL, 2) & ~PciFunction.MSI_ENABLE;
        function.configWrite(PciFunction.MSI_CONTROL, 2, control | enable);
    }

    private int setRequest(Task task, IrqSet call) {
        EventFile old = request;
        if (call.eventfd() && call.count != 0 && call.fd() >= -1) {
            EventFile[] event = new EventFile[1];
            int error = call.event(task, event);
            if (error == 0) {
                replaceRequest(event[0]);
            }
            return error;
        }
        if (call.isBool() && call.count != 0) {
            if (old != null && call.bool()) {
                old.signal(1);
            }
            return 0;
        }
        if (!call.none() || old == null) {
            return -Errno.EINVAL;
        }
        if (call.count == 0) {
            replaceRequest(null);
        } else {
            old.signal(1);
        }
        return 0;
    }

    private void replaceRequest(@Nullable EventFile event) {
        EventFile old = request;
        if (event != null) {
            event.get();
        }
        request = event;
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
            } else if (inUse == MESSAGES) {
                disableMessages();
            }
            replaceRequest(null);
        }
    }

    @Override
    public void message(int vector) {
        EventFile event = trigger;
        if (inUse == MESSAGES && event != null) {
            event.signal(1);
        } else {
            messagePending |= inUse == MESSAGES && !triggered;
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
