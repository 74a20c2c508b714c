// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_irq_routing_entry;
import dev.alcove.bindings.kvm.kvm_irq_routing_msi;
import dev.alcove.bindings.kvm.kvm_irqfd;
import dev.alcove.bindings.kvm.kvm_msi;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * The split irqchip (KVM_CAP_SPLIT_IRQCHIP): local APICs in the kernel, everything else in user space. Interrupts come
 * in as messages, by KVM_SIGNAL_MSI or over a route by KVM_IRQFD.
 *
 * <p>Lock: the monitor guards the list of irqfds; the routes are an immutable map that is replaced.
 */
final class Irqchip {
    /** KVM_MAX_IRQ_ROUTES. */
    static final int MOST_ROUTES = 4096;

    private static final int ROUTING_MSI = 2;
    private static final int DEASSIGN = 1;

    /** KVM_MSI_VALID_DEVID: the device number is filled in; it means nothing here. */
    private static final int VALID_DEVID = 1;

    private static final int RESAMPLE = 2;

    private record Route(int addressLow, int addressHigh, int data) {}

    private final ApicBus bus = new ApicBus();
    private volatile Map<Integer, List<Route>> routes = Map.of();
    private final List<IrqFd> irqFds = new ArrayList<>();

    /** Whether message addresses and interrupt routes have 32-bit destinations (KVM_CAP_X2APIC_API). */
    volatile boolean x2apicFormat;

    ApicBus bus() {
        return bus;
    }

    /**
     * KVM_SET_GSI_ROUTING.
     *
     * @param count number of entries
     * @param entries 48 bytes each
     */
    int setRoutes(int count, MemorySegment entries) {
        Map<Integer, List<Route>> fresh = new HashMap<>();
        for (int i = 0; i < count; i++) {
            MemorySegment entry = kvm_irq_routing_entry.asSlice(entries, i);
            if (kvm_irq_routing_entry.type(entry) != ROUTING_MSI || kvm_irq_routing_entry.flags(entry) != 0) {
                return -Errno.EINVAL;
            }
            MemorySegment msi = kvm_irq_routing_entry.u.msi(kvm_irq_routing_entry.u(entry));
            int high = kvm_irq_routing_msi.address_hi(msi);
            if (invalid(high)) {
                return -Errno.EINVAL;
            }
            fresh.computeIfAbsent(kvm_irq_routing_entry.gsi(entry), gsi -> new ArrayList<>())
                    .add(new Route(kvm_irq_routing_msi.address_lo(msi), high, kvm_irq_routing_msi.data(msi)));
        }
        routes = fresh;
        return 0;
    }

    private boolean invalid(int addressHigh) {
        return x2apicFormat && (addressHigh & 0xff) != 0;
    }

    /** KVM_SIGNAL_MSI: how many APICs took it; -EPERM (-1) when the machine has none. */
    int signal(MemorySegment msi) {
        if ((kvm_msi.flags(msi) & ~VALID_DEVID) != 0 || invalid(kvm_msi.address_hi(msi))) {
            return -Errno.EINVAL;
        }
        return deliver(kvm_msi.address_lo(msi), kvm_msi.address_hi(msi), kvm_msi.data(msi));
    }

    private int deliver(int low, int high, int data) {
        return bus.deliver(ApicMessage.ofMsi(low, x2apicFormat ? high : 0, data));
    }

    /** Sends the messages of a route; answers how many APICs took them, or -1 without a route. */
    int raise(int gsi) {
        int result = -1;
        for (Route route : routes.getOrDefault(gsi, List.of())) {
            int taken = deliver(route.addressLow, route.addressHigh, route.data);
            if (taken >= 0) {
                result = Math.max(result, 0) + taken;
            }
        }
        return result;
    }

    /**
     * KVM_IRQFD.
     *
     * @param present whether the machine has this irqchip at all
     */
    int irqFd(Task task, MemorySegment s, boolean present, Allocator allocator) {
        int flags = kvm_irqfd.flags(s);
        boolean deassign = (flags & DEASSIGN) != 0;
        // The pins that could be resampled are in user space.
        if ((flags & ~(DEASSIGN | RESAMPLE)) != 0 || (!deassign && (!present || (flags & RESAMPLE) != 0))) {
            return -Errno.EINVAL;
        }
        if (!deassign && !allocator.charge("irqfd")) {
            return -Errno.ENOMEM;
        }
        OpenFile file = task.file(kvm_irqfd.fd(s));
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof EventFile event)) {
            return -Errno.EINVAL;
        }
        return deassign ? deassign(event, kvm_irqfd.gsi(s)) : assign(event, kvm_irqfd.gsi(s));
    }

    private int assign(EventFile event, int gsi) {
        IrqFd irqFd = new IrqFd(this, event, gsi);
        synchronized (this) {
            for (IrqFd other : irqFds) {
                if (other.file == event) {
                    return -Errno.EBUSY;
                }
            }
            event.get();
            irqFds.add(irqFd);
        }
        irqFd.start();
        return 0;
    }

    private int deassign(EventFile event, int gsi) {
        List<IrqFd> gone = new ArrayList<>();
        synchronized (this) {
            for (Iterator<IrqFd> it = irqFds.iterator(); it.hasNext(); ) {
                IrqFd irqFd = it.next();
                if (irqFd.file == event && irqFd.gsi == gsi) {
                    it.remove();
                    gone.add(irqFd);
                }
            }
        }
        gone.forEach(IrqFd::stop);
        return 0;
    }

    /** The machine's descriptor is closed: eventfds count no longer. */
    void releaseIrqFds() {
        List<IrqFd> gone;
        synchronized (this) {
            gone = new ArrayList<>(irqFds);
            irqFds.clear();
        }
        gone.forEach(IrqFd::stop);
    }
}
