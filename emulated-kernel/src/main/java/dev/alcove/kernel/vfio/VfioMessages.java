// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.pci.MsixTable;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The messages of a function, MSI or MSI-X, and the eventfds that a VFIO user has given for them ({@code vfio_msi_*}).
 *
 * <p>A vector of MSI-X is masked in the function's table while it has no eventfd, and then keeps one message there. MSI
 * has no mask: of what comes before the first eventfd the kernel's interrupt core keeps one.
 *
 * <p>Lock: the function's monitor.
 */
final class VfioMessages {
    private static final long INTERRUPT_ADDRESS = 0xfee0_0000L;

    private final PciFunction function;
    private final Allocator allocator;
    private final @Nullable MsixTable table;
    private final @Nullable EventFile[] triggers;
    private final int control;
    private final int enable;

    /** Whether a message of MSI came before there was a first eventfd. */
    private boolean pending;

    /** Whether MSI has had an eventfd; what comes after the last one is lost. */
    private boolean triggered;

    /** @param index which kind of message is to be used; the function must have it */
    VfioMessages(PciFunction function, int index, Allocator allocator) {
        this.allocator = allocator;
        boolean msix = index == vfio.VFIO_PCI_MSIX_IRQ_INDEX();
        this.function = function;
        this.table = msix ? function.msixTable() : null;
        this.triggers = new @Nullable EventFile[count(function, index)];
        this.control = msix
                ? function.capability(PciFunction.CAPABILITY_MSIX) + PciFunction.MSIX_CONTROL
                : function.capability(PciFunction.CAPABILITY_MSI) + PciFunction.MSI_CONTROL;
        this.enable = msix ? PciFunction.MSIX_ENABLE : PciFunction.MSI_ENABLE;
    }

    /** How many messages of a kind a function has. */
    static int count(PciFunction function, int index) {
        if (index == vfio.VFIO_PCI_MSI_IRQ_INDEX()) {
            return function.capability(PciFunction.CAPABILITY_MSI) == 0 ? 0 : 1;
        }
        MsixTable table = function.msixTable();
        return index == vfio.VFIO_PCI_MSIX_IRQ_INDEX() && table != null ? table.vectors() : 0;
    }

    /** Lets the function send messages. */
    void enable() {
        if (table != null) {
            for (int vector = 0; vector < triggers.length; vector++) {
                table.program(vector, INTERRUPT_ADDRESS, vector, true);
            }
        }
        setControl(true);
    }

    /** Takes all eventfds away, and the function's leave to send. */
    void disable() {
        for (int vector = 0; vector < triggers.length; vector++) {
            replace(vector, null);
        }
        setControl(false);
    }

    private void setControl(boolean on) {
        int word = function.configRead(control, 2) & ~enable;
        function.configWrite(control, 2, on ? word | enable : word);
    }

    /** Gives vectors their eventfds; on an error all that the call names have none. */
    int setTriggers(Task task, IrqSet call) {
        int error = 0;
        int done = 0;
        for (; done < call.count && error == 0; done++) {
            EventFile[] event = new EventFile[1];
            boolean memory = call.fd(done) < 0 || VfioInterrupts.chargeInterrupt(allocator);
            error = memory ? call.event(task, done, event) : -Errno.ENOMEM;
            replace(call.start + done, event[0]);
        }
        for (int i = 0; error != 0 && i < done; i++) {
            replace(call.start + i, null);
        }
        return error;
    }

    /** What a user does for a test: signals as the function would. */
    void loopBack(IrqSet call) {
        for (int i = 0; i < call.count; i++) {
            EventFile event = triggers[call.start + i];
            if (event != null && (call.none() || call.bool(i))) {
                event.signal(1);
            }
        }
    }

    /** The function has sent a message. */
    void message(int vector) {
        EventFile event = triggers[vector];
        if (event != null) {
            event.signal(1);
        } else {
            pending |= !triggered;
        }
    }

    private void replace(int vector, @Nullable EventFile event) {
        EventFile old = triggers[vector];
        if (event != null) {
            event.get();
        }
        triggers[vector] = event;
        if (table != null) {
            table.program(vector, INTERRUPT_ADDRESS, vector, event == null);
        } else if (event != null) {
            triggered = true;
            if (pending) {
                pending = false;
                event.signal(1);
            }
        }
        if (old != null) {
            old.put();
        }
    }
}
