// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kvm.MsiRoute;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.EventFd;
import dev.alcove.vfio.VfioDevice;
import org.jspecify.annotations.Nullable;

/**
 * The path of one message signalled interrupt: the device signals an eventfd (VFIO_DEVICE_SET_IRQS), and KVM turns
 * that into the guest's message (irqfd and an MSI route). No thread of ours is involved. The owner's lock protects it.
 */
final class PassthroughMsi implements AutoCloseable {
    private final VfioDevice device;
    private final Vm vm;
    private final InterruptRoutes routes;
    private final int gsi;
    private @Nullable EventFd signal;

    PassthroughMsi(VfioDevice device, Board board) {
        this.device = device;
        this.vm = board.vm();
        this.routes = board.routes();
        this.gsi = routes.allocateGsi();
    }

    /** Makes the interrupt as the guest programmed it; also while it is enabled already. */
    void enable(long address, int data) {
        routes.set(new MsiRoute(gsi, address, data));
        if (signal != null) {
            return;
        }
        EventFd created = EventFd.create(device.syscalls());
        try {
            vm.irqfd(created.fd(), gsi, false);
            try {
                device.setTriggers(vfio.VFIO_PCI_MSI_IRQ_INDEX(), 0, created.fd());
            } catch (RuntimeException e) {
                vm.irqfd(created.fd(), gsi, true);
                throw e;
            }
        } catch (RuntimeException e) {
            created.close();
            throw e;
        }
        signal = created;
    }

    void disable() {
        EventFd current = signal;
        if (current == null) {
            return;
        }
        signal = null;
        try (current) {
            device.disableIrqs(vfio.VFIO_PCI_MSI_IRQ_INDEX());
            vm.irqfd(current.fd(), gsi, true);
        }
        routes.remove(gsi);
    }

    @Override
    public void close() {
        try {
            disable();
        } finally {
            routes.release(gsi);
        }
    }
}
