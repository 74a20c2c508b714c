// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Instructions that the kernel executes in the guest's place, because one of their accesses leads to no memory. */
@Surface("run/exits")
@Timeout(60)
final class KvmEmulationContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final long RAM = KvmGuest.RAM;

    /** Where no slot is. */
    private static final long DEVICE = 0x120000;

    /** movsq; hlt. */
    private static final String MOVE = "48a5 f4";

    /** rep movsq; hlt. */
    private static final String MOVES = "f348a5 f4";

    /** lock xadd [rdi],rax; hlt. */
    private static final String ADD = "f0480fc107 f4";

    private static void move(KvmGuest g, String program, long from, long to, int count) {
        g.start(program);
        MemorySegment r = g.v.regs();
        kvm_regs.rsi(r, from);
        kvm_regs.rdi(r, to);
        kvm_regs.rcx(r, count);
        g.v.setRegs();
    }

    /** KVM_RUN to a read of a device, which answers. */
    private static void read(KvmGuest g, long gpa, int length, long answer) {
        g.v.runTo(KvmVcpu.MMIO);
        MemorySegment mmio = kvm_run.mmio(g.v.run);
        assertEquals(0, kvm_run.mmio.is_write(mmio), "a read");
        assertEquals(gpa, kvm_run.mmio.phys_addr(mmio), "gpa");
        assertEquals(length, kvm_run.mmio.len(mmio), "length");
        kvm_run.mmio.data(mmio).set(ValueLayout.JAVA_LONG_UNALIGNED, 0, answer);
    }

    private static void write(KvmGuest g, long gpa, int length, long value) {
        g.v.runTo(KvmVcpu.MMIO);
        MemorySegment mmio = kvm_run.mmio(g.v.run);
        assertEquals(1, kvm_run.mmio.is_write(mmio), "a write");
        assertEquals(gpa, kvm_run.mmio.phys_addr(mmio), "gpa");
        assertEquals(length, kvm_run.mmio.len(mmio), "length");
        long data = kvm_run.mmio.data(mmio).get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        assertEquals(value, length == 8 ? data : data & ((1L << (8 * length)) - 1), "data");
    }

    @EveryKernel
    void anAccessAcrossTwoPagesIsOneExitForEach(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.start(KvmGuest.LOAD, DEVICE + PAGE - 3, -1);
            read(g, DEVICE + PAGE - 3, 3, 0x030201);
            read(g, DEVICE + PAGE, 5, 0x0807060504L);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0x0807060504030201L, kvm_regs.rax(g.v.regs()));
            g.start(KvmGuest.STORE, DEVICE + PAGE - 1, 0x0102030405060708L);
            write(g, DEVICE + PAGE - 1, 1, 8);
            write(g, DEVICE + PAGE, 7, 0x01020304050607L);
            g.v.runTo(KvmVcpu.HLT);
        }
    }

    @EveryKernel
    void aPrivatePageIsReachedThroughTheUsersMapping(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.attributes(RAM, PAGE, KvmMachine.PRIVATE, 0));
            g.store(RAM, 7);
            // Without a page, and without memory for one, it would be as good as a device.
            g.shared.set(ValueLayout.JAVA_LONG, 0, 1);
            move(g, MOVE, DEVICE, RAM, 0);
            read(g, DEVICE, 8, 0x1234);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0x1234, g.shared.get(ValueLayout.JAVA_LONG, 0));
            assertEquals(7, g.load(RAM));
        }
    }

    @EveryKernel
    void memoryThatTheUserHasNotIsADeviceAsWell(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.attributes(RAM, PAGE, KvmMachine.PRIVATE, 0));
            g.store(RAM, 7);
            ok(g.m.sys.munmap(g.shared.address(), PAGE));
            move(g, MOVE, DEVICE, RAM, 0);
            read(g, DEVICE, 8, 0x1234);
            write(g, RAM, 8, 0x1234);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(7, g.load(RAM));
        }
    }

    @EveryKernel
    void whatFollowsAReadOfADeviceIsEmulatedToo(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.attributes(RAM, PAGE, KvmMachine.PRIVATE, 0));
            move(g, MOVES, RAM - 16, RAM, 4); // two elements from where no slot is, then from a private page
            g.shared.set(ValueLayout.JAVA_LONG, 0, 0);
            read(g, RAM - 16, 8, 1);
            read(g, RAM - 8, 8, 2);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(1, g.shared.get(ValueLayout.JAVA_LONG, 0));
            assertEquals(2, g.shared.get(ValueLayout.JAVA_LONG, 8));
            assertEquals(1, g.shared.get(ValueLayout.JAVA_LONG, 16));
            assertEquals(2, g.shared.get(ValueLayout.JAVA_LONG, 24));
            assertEquals(0, g.load(RAM));
        }
    }

    @EveryKernel
    void aReadOnlyPageIsReadAndThenADevice(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            MemorySegment rom = g.m.memory(1);
            rom.set(ValueLayout.JAVA_LONG, 0, 40);
            ok(g.m.region1(2, KvmMachine.READONLY, DEVICE, PAGE, rom.address()));
            g.start(ADD, DEVICE, 2);
            write(g, DEVICE, 8, 42);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(40, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void whereAGuestHasFoundADeviceItStaysOneUntilAMemslotChanges(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.start(KvmGuest.LOAD, DEVICE, 0);
            read(g, DEVICE, 8, 1);
            g.v.runTo(KvmVcpu.HLT);
            ok(g.m.attributes(DEVICE, PAGE, KvmMachine.PRIVATE, 0));
            g.start(KvmGuest.LOAD, DEVICE, 0);
            read(g, DEVICE, 8, 2);
            g.v.runTo(KvmVcpu.HLT);
            MemorySegment more = g.m.memory(1);
            ok(g.m.region1(2, 0, DEVICE + 16 * PAGE, PAGE, more.address()));
            g.loadFaults(DEVICE, false); // still not by a private access
            ok(g.m.attributes(DEVICE, PAGE, 0, 0));
            g.start(KvmGuest.LOAD, DEVICE, 0);
            read(g, DEVICE, 8, 3);
            g.v.runTo(KvmVcpu.HLT);
        }
    }
}
