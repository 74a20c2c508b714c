// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.kvm.MsiRoute;
import dev.alcove.kvm.Vm;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * The VM's table of global system interrupts that become messages. KVM takes the table only as a whole, so it is
 * kept here. The object's monitor protects it.
 */
public final class InterruptRoutes {
    /** The pins of an I/O APIC come first; KVM_CAP_SPLIT_IRQCHIP reserves them. */
    public static final int IOAPIC_PINS = 24;

    private final Vm vm;
    private final List<MsiRoute> routes = new ArrayList<>();
    /** Numbers that a device has. */
    private final BitSet taken = new BitSet();

    public InterruptRoutes(Vm vm) {
        this.vm = vm;
    }

    /** A number for a device, until {@link #release}. */
    public synchronized int allocateGsi() {
        int gsi = taken.nextClearBit(IOAPIC_PINS);
        taken.set(gsi);
        return gsi;
    }

    /** Takes a number back, and its route out. */
    public synchronized void release(int gsi) {
        remove(gsi);
        taken.clear(gsi);
    }

    /** Sets, or changes, what a global system interrupt sends. */
    public synchronized void set(MsiRoute route) {
        routes.removeIf(r -> r.gsi() == route.gsi());
        routes.add(route);
        vm.setGsiRouting(routes);
    }

    /** Takes a route out; one that is not there is no error. */
    public synchronized void remove(int gsi) {
        if (routes.removeIf(r -> r.gsi() == gsi)) {
            vm.setGsiRouting(routes);
        }
    }
}
