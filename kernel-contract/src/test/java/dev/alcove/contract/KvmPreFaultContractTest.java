// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** KVM_PRE_FAULT_MEMORY. */
@Surface("run/exits")
@Timeout(60)
final class KvmPreFaultContractTest {
    private static final long PAGE = KvmGuest.PAGE;
    private static final long RAM = KvmGuest.RAM;
    private static final long END = RAM + KvmGuest.PAGES * PAGE;
    private static final long HOLE = 0x180000;

    /** What the struct says after the call. */
    private record Answer(int result, long gpa, long size) {}

    private static Answer preFault(KvmGuest g, long gpa, long size, long flags) {
        MemorySegment s = g.m.struct(kvm_pre_fault_memory.sizeof());
        kvm_pre_fault_memory.gpa(s, gpa);
        kvm_pre_fault_memory.size(s, size);
        kvm_pre_fault_memory.flags(s, flags);
        for (int i = 0; i < 5; i++) {
            kvm_pre_fault_memory.padding(s, i, -1);
        }
        int result = g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_PRE_FAULT_MEMORY(), s);
        assertEquals(-1, kvm_pre_fault_memory.padding(s, 4), "nobody looks at the padding");
        return new Answer(result, kvm_pre_fault_memory.gpa(s), kvm_pre_fault_memory.size(s));
    }

    private static void refused(int errno, KvmGuest g, long gpa, long size, long flags) {
        assertEquals(new Answer(-errno, gpa, size), preFault(g, gpa, size, flags));
    }

    @EveryKernel
    void takesNoFlags(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.EINVAL, g, RAM, PAGE, 1);
            refused(Errno.EINVAL, g, RAM, PAGE, 1L << 63);
        }
    }

    @EveryKernel
    void takesWholePages(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.EINVAL, g, RAM + 1, PAGE, 0);
            refused(Errno.EINVAL, g, RAM, 1, 0);
            refused(Errno.EINVAL, g, RAM, PAGE + 8, 0);
        }
    }

    @EveryKernel
    void takesNoEmptyRange(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.EINVAL, g, RAM, 0, 0);
        }
    }

    @EveryKernel
    void takesNoRangeThatWraps(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.EINVAL, g, -PAGE, 2 * PAGE, 0);
            refused(Errno.EINVAL, g, -PAGE, PAGE, 0);
            refused(Errno.EINVAL, g, RAM, -PAGE, 0);
        }
    }

    @EveryKernel
    void looksAtTheFlagsBeforeTheMemory(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.EINVAL, g, HOLE, PAGE, 1);
        }
    }

    @EveryKernel
    void needsAPointer(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            fails(Errno.EFAULT, g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_PRE_FAULT_MEMORY(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void isNoIoctlOfTheMachine(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            fails(Errno.ENOTTY, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_PRE_FAULT_MEMORY(), g.m.struct(64)));
        }
    }

    @EveryKernel
    void withoutASlotIsEnoent(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            refused(Errno.ENOENT, g, HOLE, PAGE, 0);
        }
    }

    @EveryKernel
    void privateWithoutASlotIsEfault(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(HOLE, 1);
            refused(Errno.EFAULT, g, HOLE, PAGE, 0);
        }
    }

    @EveryKernel
    void privateWithoutAGuestMemfdIsEfault(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x3000, 1);
            refused(Errno.EFAULT, g, 0x3000, PAGE, 0);
        }
    }

    @EveryKernel
    void privateWithAFileThatIsGoneIsEfault(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            g.m.close(g.gmem);
            refused(Errno.EFAULT, g, RAM, PAGE, 0);
        }
    }

    @EveryKernel
    void aMemoryFaultIsToldInTheRunPage(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x3000, 1);
            assertEquals(0, g.v.exit());
            refused(Errno.EFAULT, g, 0x3000, PAGE, 0);
            assertEquals(KvmVcpu.MEMORY_FAULT, g.v.exit());
            assertEquals(0x3000, kvm_run.memory_fault.gpa(kvm_run.memory_fault(g.v.run)));
        }
    }

    @EveryKernel
    void withoutAUserMappingIsEfault(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            MemorySegment memory = g.m.memory(2);
            ok(g.m.region1(2, 0, HOLE, 2 * PAGE, memory.address()));
            g.m.unmap(memory);
            refused(Errno.EFAULT, g, HOLE, PAGE, 0);
        }
    }

    @EveryKernel
    void ofAWholeSlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            assertEquals(new Answer(0, END, 0), preFault(g, RAM, KvmGuest.PAGES * PAGE, 0));
            g.makePrivate(RAM, KvmGuest.PAGES);
            assertEquals(new Answer(0, END, 0), preFault(g, RAM, KvmGuest.PAGES * PAGE, 0));
            assertEquals(0, g.load(RAM + 3 * PAGE));
        }
    }

    @EveryKernel
    void ofAMachineWithoutPrivateMemory(KernelUnderTest kernel) {
        try (KvmGuest g = new KvmGuest(kernel, KvmMachine.DEFAULT, 0)) {
            assertEquals(new Answer(0, END, 0), preFault(g, RAM, KvmGuest.PAGES * PAGE, 0));
            refused(Errno.ENOENT, g, HOLE, PAGE, 0);
        }
    }

    @EveryKernel
    void ofAReadOnlySlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.region1(2, KvmMachine.READONLY, HOLE, PAGE, g.m.memory(1).address()));
            assertEquals(new Answer(0, HOLE + PAGE, 0), preFault(g, HOLE, PAGE, 0));
        }
    }

    @EveryKernel
    void stopsWhereTheMemoryStops(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            assertEquals(new Answer(0, END, 2 * PAGE), preFault(g, END - 2 * PAGE, 4 * PAGE, 0));
            refused(Errno.ENOENT, g, END, 2 * PAGE, 0);
        }
    }

    @EveryKernel
    void stopsWhereAPrivatePageHasNoFile(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x9000, 1);
            assertEquals(new Answer(0, 0x9000, 3 * PAGE), preFault(g, 0x7000, 5 * PAGE, 0));
        }
    }

    @EveryKernel
    void goesOnOverTheBorderOfSlots(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.region1(2, 0, END, PAGE, g.m.memory(1).address()));
            assertEquals(new Answer(0, END + PAGE, PAGE), preFault(g, END - PAGE, 3 * PAGE, 0));
        }
    }

    @EveryKernel
    void twiceIsAsGoodAsOnce(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            for (int i = 0; i < 2; i++) {
                assertEquals(new Answer(0, RAM + 2 * PAGE, 0), preFault(g, RAM, 2 * PAGE, 0));
            }
        }
    }

    @EveryKernel
    void keepsWhatThePageHolds(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, KvmGuest.PAGES);
            g.store(RAM, 17);
            assertEquals(new Answer(0, RAM + PAGE, 0), preFault(g, RAM, PAGE, 0));
            assertEquals(17, g.load(RAM));
        }
    }

    @EveryKernel
    void ofAMappableFile(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            MemorySegment file = g.m.map(KvmGuest.PAGES, Linux.MAP_SHARED, g.gmem);
            assertEquals(new Answer(0, END, 0), preFault(g, RAM, KvmGuest.PAGES * PAGE, 0));
            file.set(ValueLayout.JAVA_LONG, 8, 5);
            assertEquals(5, g.load(RAM + 8));
        }
    }
}
