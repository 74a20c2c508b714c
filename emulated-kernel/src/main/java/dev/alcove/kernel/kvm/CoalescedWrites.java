// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_coalesced_mmio;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_ring;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_zone;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * KVM_REGISTER_COALESCED_MMIO: device writes that wait in a ring until user space looks, and do not leave the guest.
 * User space may write anywhere in the ring, so its indices are looked at as the kernel does.
 *
 * <p>The machine's slots lock guards the zones, the monitor the ring.
 */
final class CoalescedWrites {
    /** KVM_COALESCED_MMIO_MAX: entries of the ring. */
    static final int ENTRIES =
            (int) ((Linux.PAGE_SIZE - kvm_coalesced_mmio_ring.sizeof()) / kvm_coalesced_mmio.sizeof());

    private final Vm vm;
    private final List<Zone> zones = new ArrayList<>();
    private @Nullable MemorySegment ring;

    private final class Zone implements IoBus.Device {
        final long address;
        final int size;
        final boolean pio;

        Zone(long address, int size, boolean pio) {
            this.address = address;
            this.size = size;
            this.pio = pio;
        }

        boolean contains(long at, long length) {
            return (int) length >= 0
                    && Long.compareUnsigned(at + length, at) >= 0
                    && Long.compareUnsigned(at, address) >= 0
                    && Long.compareUnsigned(at + length, address + Integer.toUnsignedLong(size)) <= 0;
        }

        @Override
        public boolean write(long at, int length, long value) {
            return contains(at, length) && push(at, length, value, pio);
        }
    }

    CoalescedWrites(Vm vm) {
        this.vm = vm;
    }

    /** The page that the ring is in from now on. */
    synchronized void setRing(MemorySegment page) {
        ring = page;
    }

    private synchronized boolean push(long address, int length, long value, boolean pio) {
        MemorySegment r = ring;
        if (r == null) {
            return false;
        }
        int last = kvm_coalesced_mmio_ring.last(r);
        int next = (last + 1) % ENTRIES;
        // One entry stays free, so that a full ring is not taken for an empty one.
        if (Integer.compareUnsigned(last, ENTRIES) >= 0 || next == kvm_coalesced_mmio_ring.first(r)) {
            return false;
        }
        MemorySegment entry = r.asSlice(
                kvm_coalesced_mmio_ring.sizeof() + last * kvm_coalesced_mmio.sizeof(), kvm_coalesced_mmio.sizeof());
        kvm_coalesced_mmio.phys_addr(entry, address);
        kvm_coalesced_mmio.len(entry, length);
        MemorySegment data = kvm_coalesced_mmio.data(entry);
        for (int i = 0; i < length; i++) {
            data.set(ValueLayout.JAVA_BYTE, i, (byte) (value >>> (8 * i)));
        }
        kvm_coalesced_mmio.pio(entry, pio ? 1 : 0);
        VarHandle.releaseFence();
        kvm_coalesced_mmio_ring.last(r, next);
        return true;
    }

    long serve(Task task, long argument, boolean register) {
        MemorySegment s = UserCopy.struct(kvm_coalesced_mmio_zone.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int pio = kvm_coalesced_mmio_zone.pio(s);
        if (pio != 0 && pio != 1) {
            return -Errno.EINVAL;
        }
        Zone zone = new Zone(kvm_coalesced_mmio_zone.addr(s), kvm_coalesced_mmio_zone.size(s), pio != 0);
        vm.slotsLock.lock();
        try {
            if (register) {
                return register(zone);
            }
            unregister(zone);
            return 0;
        } finally {
            vm.slotsLock.unlock();
        }
    }

    private int register(Zone zone) {
        if (!vm.charge("coalesced zone")) {
            return -Errno.ENOMEM;
        }
        int error = bus(zone).register(zone.address, zone.size, zone, false, vm.allocator());
        if (error == 0) {
            zones.add(zone);
        }
        return error;
    }

    /** All zones go that hold the whole range; that there was none is no error. */
    private void unregister(Zone range) {
        for (Zone zone : List.copyOf(zones)) {
            if (zone.pio == range.pio && zone.contains(range.address, Integer.toUnsignedLong(range.size))) {
                zones.remove(zone);
                bus(zone).unregister(zone, false);
            }
        }
    }

    private IoBus bus(Zone zone) {
        return zone.pio ? vm.portBus() : vm.mmioBus();
    }
}
