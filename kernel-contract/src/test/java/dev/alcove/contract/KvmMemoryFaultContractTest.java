// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_dtable;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Accesses of the guest that KVM cannot resolve: EFAULT with KVM_EXIT_MEMORY_FAULT, or without. */
@Surface("run/exits")
@Timeout(60)
final class KvmMemoryFaultContractTest {
    private static final long PAGE = KvmGuest.PAGE;
    private static final long RAM = KvmGuest.RAM;

    /** A guest address without slot. */
    private static final long HOLE = 0x180000;

    @EveryKernel
    void aPrivateStoreInASlotWithoutGuestMemfd(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x3000, 1);
            g.storeFaults(0x3008, true);
        }
    }

    @EveryKernel
    void aPrivateLoadInASlotWithoutGuestMemfd(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x3000, 1);
            g.loadFaults(0x3ff0, true);
        }
    }

    @EveryKernel
    void aPrivateInstructionFetchInASlotWithoutGuestMemfd(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.start("ff e7", 0x3000, 0); // jmp rdi
            g.low.set(ValueLayout.JAVA_BYTE, 0x3000, (byte) 0xf4);
            g.makePrivate(0x3000, 1);
            g.faults(0x3000, true);
            g.makeShared(0x3000, 1);
            g.v.runTo(KvmVcpu.HLT);
        }
    }

    @EveryKernel
    void aPrivateAccessWithoutSlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(HOLE, 1);
            g.loadFaults(HOLE, true);
            g.storeFaults(HOLE + 0x10, true);
        }
    }

    @EveryKernel
    void aSharedAccessWithoutSlotIsADeviceAccess(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(HOLE, 2);
            g.makeShared(HOLE, 1);
            g.start(KvmGuest.STORE, HOLE + 8, 7);
            g.v.runTo(KvmVcpu.MMIO);
            assertEquals(HOLE + 8, kvm_run.mmio.phys_addr(kvm_run.mmio(g.v.run)));
        }
    }

    @EveryKernel
    void theFaultRepeatsUntilItsCauseIsGone(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x3000, 1);
            g.start(KvmGuest.STORE, 0x3008, 5);
            g.faults(0x3000, true);
            g.faults(0x3000, true);
            assertEquals(KvmGuest.CODE, kvm_regs.rip(g.v.regs()), "the instruction has not been executed");
            g.makeShared(0x3000, 1);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(5, g.low.get(ValueLayout.JAVA_LONG, 0x3008));
        }
    }

    @EveryKernel
    void theFaultIsThatOfThePageThatIsMissing(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            // A load of eight bytes over the border of two pages.
            g.makePrivate(0x3000, 1);
            g.start(KvmGuest.LOAD, 0x2ffc, 0);
            g.faults(0x3000, true);
        }
    }

    @EveryKernel
    void aPrivateAccessAfterTheFileIsGone(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            g.store(RAM + 5 * PAGE, 1);
            g.m.close(g.gmem);
            g.storeFaults(RAM + 5 * PAGE, true);
            g.loadFaults(RAM + 6 * PAGE, true);
        }
    }

    @EveryKernel
    void aSharedAccessDoesNotMissTheFile(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.m.close(g.gmem);
            g.store(RAM, 3);
            assertEquals(3, g.shared(0));
        }
    }

    @EveryKernel
    void aSharedAccessAfterTheOnlyFileIsGone(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            g.store(RAM, 3);
            g.m.close(g.gmem);
            g.loadFaults(RAM, false);
            g.storeFaults(RAM + PAGE, false);
        }
    }

    @EveryKernel
    void aPrivateAccessAfterItsSlotIsDeleted(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            g.store(RAM, 1);
            ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
            g.loadFaults(RAM, true);
        }
    }

    @EveryKernel
    void aPrivateAccessIsServedAgainByANewSlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            g.store(RAM + PAGE, 41);
            ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
            g.loadFaults(RAM + PAGE, true);
            ok(g.m.region(
                    2, KvmMachine.GMEM, RAM, KvmGuest.PAGES * PAGE, g.shared.address(), g.gmem, 0));
            assertEquals(41, g.load(RAM + PAGE), "the file keeps what a slot showed");
        }
    }

    @EveryKernel
    void aUserMappingThatIsMissingIsEfaultAlone(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            MemorySegment memory = g.m.memory(1);
            ok(g.m.region1(2, 0, HOLE, PAGE, memory.address()));
            g.store(HOLE, 1);
            g.m.unmap(memory);
            g.start(KvmGuest.LOAD, HOLE, 0);
            fails(Errno.EFAULT, g.v.run());
            assertEquals(0, g.v.exit(), "no KVM_EXIT_MEMORY_FAULT: the user's own mapping is missing");
        }
    }

    @EveryKernel
    void aMemoryFaultLeavesTheMachineUsable(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(HOLE, 1);
            g.loadFaults(HOLE, true);
            g.store(RAM, 9);
            assertEquals(9, g.load(RAM));
        }
    }

    @EveryKernel
    void aTripleFaultIsAShutdown(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.start("0f0b"); // ud2
            MemorySegment s = g.v.sregs();
            kvm_dtable.limit(kvm_sregs.idt(s), (short) 0);
            ok(g.v.trySetSregs());
            g.v.runTo(KvmVcpu.SHUTDOWN);
        }
    }
}
