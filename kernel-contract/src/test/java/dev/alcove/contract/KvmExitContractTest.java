// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Exits of a guest in 64-bit mode, and how user space completes them. */
@Surface("run/exits")
@Timeout(60)
final class KvmExitContractTest {
    private static final long PAGE = KvmGuest.PAGE;

    /** A guest address without slot. */
    private static final long HOLE = 0x180000;

    private static KvmGuest guest(KernelUnderTest kernel) {
        return new KvmGuest(kernel, KvmMachine.DEFAULT, 0);
    }

    private static void mmioIs(KvmGuest g, boolean write, long address, int length, long data) {
        g.v.runTo(KvmVcpu.MMIO);
        MemorySegment mmio = kvm_run.mmio(g.v.run);
        assertEquals(write ? 1 : 0, kvm_run.mmio.is_write(mmio), "is_write");
        assertEquals(address, kvm_run.mmio.phys_addr(mmio), "phys_addr");
        assertEquals(length, kvm_run.mmio.len(mmio), "len");
        if (write) {
            assertEquals(data, mmio.get(ValueLayout.JAVA_LONG_UNALIGNED, kvm_run.mmio.data$offset()), "data");
        }
    }

    private static void answer(KvmGuest g, long data) {
        kvm_run.mmio(g.v.run).set(ValueLayout.JAVA_LONG_UNALIGNED, kvm_run.mmio.data$offset(), data);
    }

    @EveryKernel
    void aLoadOfEightBytesIsOneDeviceAccess(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start(KvmGuest.LOAD, HOLE, 0);
            mmioIs(g, false, HOLE, 8, 0);
            answer(g, 0x1122334455667788L);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0x1122334455667788L, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void aStoreOfEightBytesIsOneDeviceAccess(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start(KvmGuest.STORE, HOLE + 16, 0x1122334455667788L);
            mmioIs(g, true, HOLE + 16, 8, 0x1122334455667788L);
            g.v.runTo(KvmVcpu.HLT);
        }
    }

    @EveryKernel
    void aLoadOfFourBytesClearsTheUpperHalf(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("8b07 f4", HOLE, -1); // mov eax,[rdi]
            mmioIs(g, false, HOLE, 4, 0);
            answer(g, -1);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0xffffffffL, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void aLoadOfOneByteKeepsTheRest(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("8a07 f4", HOLE, 0x1111); // mov al,[rdi]
            mmioIs(g, false, HOLE, 1, 0);
            answer(g, 0x22);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0x1122, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void theInstructionIsExecutedOnceTheAnswerIsThere(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start(KvmGuest.LOAD, HOLE, 0);
            mmioIs(g, false, HOLE, 8, 0);
            assertEquals(KvmGuest.CODE, kvm_regs.rip(g.v.regs()));
            answer(g, 5);
            kvm_run.immediate_exit(g.v.run, (byte) 1);
            fails(Errno.EINTR, g.v.run());
            assertEquals(5, kvm_regs.rax(g.v.regs()));
            assertEquals(KvmGuest.CODE + 3, kvm_regs.rip(g.v.regs()));
        }
    }

    @EveryKernel
    void aSlotThatComesAfterTheExitDoesNotChangeTheAnswer(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start(KvmGuest.LOAD, HOLE, 0);
            mmioIs(g, false, HOLE, 8, 0);
            MemorySegment memory = g.m.memory(1);
            memory.set(ValueLayout.JAVA_LONG, 0, 3);
            ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
            answer(g, 5);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(5, kvm_regs.rax(g.v.regs()));
            assertEquals(3, g.load(HOLE));
        }
    }

    @EveryKernel
    void aDeviceBecomesMemoryAndADeviceAgain(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            MemorySegment memory = g.m.memory(1);
            memory.set(ValueLayout.JAVA_LONG, 0, 3);
            for (int round = 0; round < 3; round++) {
                g.start(KvmGuest.LOAD, HOLE, 0);
                mmioIs(g, false, HOLE, 8, 0);
                g.v.runTo(KvmVcpu.HLT);
                ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
                assertEquals(3, g.load(HOLE));
                ok(g.m.region1(2, 0, 0, 0, 0));
            }
        }
    }

    @EveryKernel
    void codeThatIsNowhereIsAnInternalError(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("ffe7", HOLE, 0); // jmp rdi
            g.v.runTo(KvmVcpu.INTERNAL_ERROR);
            assertEquals(1, kvm_run.internal.suberror(kvm_run.internal(g.v.run)), "KVM_INTERNAL_ERROR_EMULATION");
        }
    }

    @EveryKernel
    void aPortReadOfFourBytesClearsTheUpperHalf(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("e510 f4", 0, -1); // in eax,0x10
            g.v.runTo(KvmVcpu.IO);
            MemorySegment io = kvm_run.io(g.v.run);
            assertEquals(4, kvm_run.io.size(io));
            assertEquals(0x10, kvm_run.io.port(io));
            g.v.data.set(ValueLayout.JAVA_INT, 0, 0x12345678);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(0x12345678, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void aPortReadMayBeAnsweredWithNewRegisters(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("e410 f4", 0, 0); // in al,0x10
            g.v.runTo(KvmVcpu.IO);
            g.v.data.set(ValueLayout.JAVA_BYTE, 0, (byte) 9);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(9, kvm_regs.rax(g.v.regs()));
            assertEquals(KvmGuest.CODE + 3, kvm_regs.rip(g.v.regs()));
        }
    }

    @EveryKernel
    void everyReturnTellsOfFlagsAndApic(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("fb e610 fa e610 f4"); // sti; out 0x10,al; cli; out 0x10,al; hlt
            g.v.runTo(KvmVcpu.IO);
            assertEquals(1, kvm_run.if_flag(g.v.run));
            assertEquals(0xfee00900L, kvm_run.apic_base(g.v.run));
            assertEquals(0, kvm_run.cr8(g.v.run));
            g.v.runTo(KvmVcpu.IO);
            assertEquals(0, kvm_run.if_flag(g.v.run));
            g.v.runTo(KvmVcpu.HLT);
        }
    }

    @EveryKernel
    void theTaskPriorityIsTold(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("440f22c0 f4", 0, 5); // mov cr8,rax
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(5, kvm_run.cr8(g.v.run));
        }
    }

    @EveryKernel
    void aHaltGoesOnBehindIt(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.start("f4 f4");
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(KvmGuest.CODE + 1, kvm_regs.rip(g.v.regs()));
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(KvmGuest.CODE + 2, kvm_regs.rip(g.v.regs()));
        }
    }

    @EveryKernel
    void aStoreInAReadOnlySlotIsADeviceAccess(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            MemorySegment rom = g.m.memory(1);
            rom.set(ValueLayout.JAVA_LONG, 0, 77);
            ok(g.m.region1(2, KvmMachine.READONLY, HOLE, PAGE, rom.address()));
            assertEquals(77, g.load(HOLE));
            g.start(KvmGuest.STORE, HOLE, 5);
            mmioIs(g, true, HOLE, 8, 5);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(77, rom.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void theUserSeesStoresAtOnceAndTheGuestTheUsers(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            g.store(KvmGuest.RAM + 8, 5);
            assertEquals(5, g.shared(8));
            g.shared.set(ValueLayout.JAVA_LONG, 8, 6);
            assertEquals(6, g.load(KvmGuest.RAM + 8));
        }
    }

    @EveryKernel
    void twoSlotsShowTheSameUserMemory(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            MemorySegment memory = g.m.memory(1);
            ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
            ok(g.m.region1(3, 0, HOLE + PAGE, PAGE, memory.address()));
            g.store(HOLE, 8);
            assertEquals(8, g.load(HOLE + PAGE));
        }
    }

    @EveryKernel
    void aMovedSlotLeavesADeviceBehind(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            MemorySegment memory = g.m.memory(1);
            ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
            g.store(HOLE, 8);
            ok(g.m.region1(2, 0, HOLE + PAGE, PAGE, memory.address()));
            g.start(KvmGuest.LOAD, HOLE, 0);
            mmioIs(g, false, HOLE, 8, 0);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(8, g.load(HOLE + PAGE));
        }
    }

    @EveryKernel
    void aUserMappingCanComeLater(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            MemorySegment memory = g.m.memory(1);
            ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
            ok(g.m.sys.munmap(memory.address(), PAGE));
            g.start(KvmGuest.STORE, HOLE, 5);
            fails(Errno.EFAULT, g.v.run());
            ok(g.m.sys.mmap(
                    memory.address(), PAGE, KvmMachine.RW, KvmMachine.ANONYMOUS | Linux.MAP_FIXED, -1, 0));
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(5, memory.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void aUserMappingWithoutWritingCannotBeWritten(KernelUnderTest kernel) {
        try (KvmGuest g = guest(kernel)) {
            long at = ok(g.m.sys.mmap(0, PAGE, 1, KvmMachine.ANONYMOUS, -1, 0));
            ok(g.m.region1(2, 0, HOLE, PAGE, at));
            assertEquals(0, g.load(HOLE));
            g.start(KvmGuest.STORE, HOLE, 5);
            fails(Errno.EFAULT, g.v.run());
            ok(g.m.region1(2, 0, 0, 0, 0));
            ok(g.m.sys.munmap(at, PAGE));
        }
    }
}
