// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_ring;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_zone;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** KVM_REGISTER_COALESCED_MMIO and its ring. */
@Surface("kvm devices in the kernel")
@Timeout(60)
final class KvmCoalescedContractTest {
    private static final long DEVICE = KvmRealGuest.DEVICE;
    private static final String BYTE = "26 8807 f4"; // mov es:[bx],al; hlt
    private static final String LONG = "26 66 8907 f4";
    private static final String OUT_WORD = "e750 f4"; // out 0x50,ax; hlt
    private static final int ENTRY = (int) kvm_coalesced_mmio.sizeof();
    private static final int HEAD = (int) kvm_coalesced_mmio_ring.sizeof();
    private static final int ENTRIES = (4096 - HEAD) / ENTRY;

    private static final class Guest implements AutoCloseable {
        final KvmRealGuest g;
        final KvmMachine m;
        final MemorySegment ring;

        Guest(KernelUnderTest kernel) {
            g = new KvmRealGuest(kernel);
            m = g.m;
            m.needs(15, "KVM_CAP_COALESCED_MMIO");
            ring = ring(g.v);
        }

        static MemorySegment ring(KvmVcpu vcpu) {
            return vcpu.pages.asSlice(2 * 4096, 4096);
        }

        int zone(boolean register, long address, int size, int pio) {
            MemorySegment s = m.struct(kvm_coalesced_mmio_zone.sizeof());
            kvm_coalesced_mmio_zone.addr(s, address);
            kvm_coalesced_mmio_zone.size(s, size);
            kvm_coalesced_mmio_zone.pio(s, pio);
            return m.sys.ioctl(
                    m.fd,
                    (int) (register ? kvm.KVM_REGISTER_COALESCED_MMIO() : kvm.KVM_UNREGISTER_COALESCED_MMIO()),
                    s);
        }

        void indices(int first, int last) {
            assertEquals(first, kvm_coalesced_mmio_ring.first(ring), "first");
            assertEquals(last, kvm_coalesced_mmio_ring.last(ring), "last");
        }

        void entry(int index, long address, int length, int pio, int data) {
            MemorySegment entry = ring.asSlice(HEAD + (long) index * ENTRY, ENTRY);
            assertEquals(address, kvm_coalesced_mmio.phys_addr(entry), "address");
            assertEquals(length, kvm_coalesced_mmio.len(entry), "length");
            assertEquals(pio, kvm_coalesced_mmio.pio(entry), "pio");
            int value = entry.get(ValueLayout.JAVA_INT, kvm_coalesced_mmio.data$offset());
            assertEquals(data, length == 4 ? value : value & ((1 << (8 * length)) - 1), "data");
        }

        @Override
        public void close() {
            g.close();
        }
    }

    @EveryKernel
    void writesWaitInTheRing(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.indices(0, 0);
            ok(g.zone(true, DEVICE, 0x1000, 0));
            ok(g.zone(true, 0x50, 2, 1));
            g.g.halts(BYTE, DEVICE, 0x77);
            g.g.halts(LONG, DEVICE + 0x10, 0x12345678);
            g.g.halts(OUT_WORD, DEVICE, 0xabcd);
            g.indices(0, 3);
            g.entry(0, DEVICE, 1, 0, 0x77);
            g.entry(1, DEVICE + 0x10, 4, 0, 0x12345678);
            g.entry(2, 0x50, 2, 1, 0xabcd);
        }
    }

    @EveryKernel
    void leavesWhatIsNotWhollyInTheZone(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.zone(true, DEVICE, 2, 0));
            ok(g.zone(true, 0x50, 1, 1));
            g.g.leaves(KvmVcpu.MMIO, LONG, DEVICE, 1);
            g.g.leaves(KvmVcpu.MMIO, BYTE, DEVICE + 0x10, 1);
            g.g.leaves(KvmVcpu.IO, OUT_WORD, DEVICE, 1);
            g.g.leaves(KvmVcpu.MMIO, "26 8a07 f4", DEVICE, 1);
            g.indices(0, 0);
        }
    }

    @EveryKernel
    void aFullRingLeaves(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.zone(true, DEVICE, 0x1000, 0));
            String loop = "b9" + String.format("%02x00", ENTRIES - 1) + " 26 8807 e2fb f4"; // mov cx,n; mov es:[bx],al; loop
            g.g.halts(loop, DEVICE, 1);
            g.indices(0, ENTRIES - 1);
            g.g.leaves(KvmVcpu.MMIO, BYTE, DEVICE, 2);
            kvm_coalesced_mmio_ring.first(g.ring, 1);
            g.g.halts(BYTE, DEVICE, 3);
            g.indices(1, 0);
            g.entry(ENTRIES - 1, DEVICE, 1, 0, 3);
        }
    }

    @EveryKernel
    void anIndexOutOfTheRingLeaves(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.zone(true, DEVICE, 0x1000, 0));
            for (int last : new int[] {ENTRIES, -1, 1 << 30}) {
                kvm_coalesced_mmio_ring.last(g.ring, last);
                g.g.leaves(KvmVcpu.MMIO, BYTE, DEVICE, 2);
            }
            kvm_coalesced_mmio_ring.last(g.ring, ENTRIES - 1);
            kvm_coalesced_mmio_ring.first(g.ring, -1);
            g.g.halts(BYTE, DEVICE, 2);
            g.indices(-1, 0);
        }
    }

    @EveryKernel
    void theRingIsTheMachines(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.zone(true, DEVICE, 0x1000, 0));
            KvmVcpu second = g.m.vcpu(1);
            g.g.halts(BYTE, DEVICE, 2);
            assertEquals(1, kvm_coalesced_mmio_ring.last(Guest.ring(second)));
        }
    }

    @EveryKernel
    void unregisterTakesEveryZoneThatHoldsTheRange(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.zone(true, DEVICE, 0x1000, 0));
            ok(g.zone(true, DEVICE, 0x1000, 0));
            ok(g.zone(true, DEVICE, 0x800, 0));
            ok(g.zone(false, DEVICE, 0x801, 1));
            ok(g.zone(false, DEVICE, 0x801, 0));
            g.g.halts(BYTE, DEVICE, 2);
            g.g.leaves(KvmVcpu.MMIO, BYTE, DEVICE + 0x900, 2);
            ok(g.zone(false, DEVICE + 0x10, 0, 0));
            g.g.leaves(KvmVcpu.MMIO, BYTE, DEVICE, 2);
            ok(g.zone(false, DEVICE, 1, 0));
        }
    }

    @EveryKernel
    void refusesBadArguments(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            fails(Errno.EINVAL, g.zone(true, DEVICE, 1, 2));
            fails(Errno.EINVAL, g.zone(false, DEVICE, 1, -1));
            fails(Errno.EFAULT, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_REGISTER_COALESCED_MMIO(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_UNREGISTER_COALESCED_MMIO(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void takesAThousandZones(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int taken = 0;
            while (taken < 2000 && g.zone(true, 0x1000L * taken, 8, 1) == 0) {
                taken++;
            }
            assertEquals(1000, taken);
            fails(Errno.ENOSPC, g.zone(true, 0, 8, 1));
            ok(g.zone(true, DEVICE, 8, 0));
        }
    }
}
