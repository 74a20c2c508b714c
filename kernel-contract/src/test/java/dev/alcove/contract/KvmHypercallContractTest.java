// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Hypercalls of the guest, KVM_EXIT_HYPERCALL for KVM_HC_MAP_GPA_RANGE above all. */
@Surface("run/exits")
@Timeout(60)
final class KvmHypercallContractTest {
    private static final long PAGE = KvmGuest.PAGE;
    private static final long RAM = KvmGuest.RAM;
    private static final int EXIT_HYPERCALL = 201;
    private static final int MAP_GPA_RANGE = 12;
    private static final long EINVAL = -22;
    private static final long ENOSYS = -1000;

    private static KvmGuest enabled(KernelUnderTest kernel) {
        KvmGuest g = KvmGuest.protectedOne(kernel);
        ok(g.m.enable(EXIT_HYPERCALL, 1 << MAP_GPA_RANGE));
        return g;
    }

    private static void prepare(KvmGuest g, String instruction, long number, long rbx, long rcx, long rdx) {
        g.start(instruction);
        MemorySegment r = g.v.regs();
        kvm_regs.rax(r, number);
        kvm_regs.rbx(r, rbx);
        kvm_regs.rcx(r, rcx);
        kvm_regs.rdx(r, rdx);
        g.v.setRegs();
    }

    /** A hypercall that KVM answers itself. */
    private static long call(KvmGuest g, long number, long rbx, long rcx, long rdx) {
        prepare(g, KvmGuest.VMCALL, number, rbx, rcx, rdx);
        g.v.runTo(KvmVcpu.HLT);
        return kvm_regs.rax(g.v.regs());
    }

    private static void exits(KvmGuest g, long gpa, long pages, long attributes) {
        prepare(g, KvmGuest.VMCALL, MAP_GPA_RANGE, gpa, pages, attributes);
        g.v.runTo(KvmVcpu.HYPERCALL);
        MemorySegment hypercall = kvm_run.hypercall(g.v.run);
        assertEquals(MAP_GPA_RANGE, kvm_run.hypercall.nr(hypercall));
        assertEquals(gpa, kvm_run.hypercall.args(hypercall, 0));
        assertEquals(pages, kvm_run.hypercall.args(hypercall, 1));
        assertEquals(attributes, kvm_run.hypercall.args(hypercall, 2));
    }

    @EveryKernel
    void aRangeIsForUserSpaceOnlyWhereItAskedForIt(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            assertEquals(ENOSYS, call(g, MAP_GPA_RANGE, RAM, 1, 0));
        }
    }

    @EveryKernel
    void theExitCanBeSwitchedOffAgain(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            exits(g, RAM, 1, 0);
            g.v.runTo(KvmVcpu.HLT);
            ok(g.m.enable(EXIT_HYPERCALL, 0));
            assertEquals(ENOSYS, call(g, MAP_GPA_RANGE, RAM, 1, 0));
        }
    }

    @EveryKernel
    void otherHypercallsCannotBeAskedFor(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            for (int bit = 0; bit < 64; bit++) {
                int answer = m.enable(EXIT_HYPERCALL, 1L << bit | 1 << MAP_GPA_RANGE);
                if (bit == MAP_GPA_RANGE) {
                    ok(answer);
                } else {
                    fails(Errno.EINVAL, answer);
                }
            }
        }
    }

    @EveryKernel
    void anUnalignedAddressIsRefused(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            assertEquals(EINVAL, call(g, MAP_GPA_RANGE, RAM + 1, 1, 0));
            assertEquals(EINVAL, call(g, MAP_GPA_RANGE, RAM + 0x800, 1, 0));
        }
    }

    @EveryKernel
    void noPagesAreRefused(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            assertEquals(EINVAL, call(g, MAP_GPA_RANGE, RAM, 0, 0));
        }
    }

    @EveryKernel
    void framesThatWrapAreRefused(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            assertEquals(EINVAL, call(g, MAP_GPA_RANGE, RAM, -1, 0));
        }
    }

    @EveryKernel
    void aRangeAtTheEndOfTheAddressesIsPassedOn(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            // Frames are counted, not bytes: they do not wrap here. Sense is for user space to make.
            exits(g, -PAGE, 2, 0);
        }
    }

    @EveryKernel
    void attributesArePassedOnAsTheyAre(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            exits(g, RAM, 3, 0x10);
            g.v.runTo(KvmVcpu.HLT);
            exits(g, RAM, 512, 0x11);
            g.v.runTo(KvmVcpu.HLT);
            exits(g, RAM, 1, -1);
        }
    }

    @EveryKernel
    void theAnswerIsPresetToSuccess(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            kvm_run.hypercall.ret(kvm_run.hypercall(g.v.run), 77);
            exits(g, RAM, 1, 0);
            // Before 6.13 nobody did; user space found what it had left there.
            int preset = KvmMachine.before(g.m.sys, 6, 13) ? 77 : 0;
            assertEquals(preset, kvm_run.hypercall.ret(kvm_run.hypercall(g.v.run)));
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(preset, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void theGuestGetsUserSpacesAnswer(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            exits(g, RAM, 1, 0);
            kvm_run.hypercall.ret(kvm_run.hypercall(g.v.run), -5);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(-5, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKernel
    void theExitTellsOf64BitMode(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            exits(g, RAM, 1, 0);
            assertEquals(1, kvm_run.hypercall.flags(kvm_run.hypercall(g.v.run)));
        }
    }

    @EveryKernel
    void outsideOf64BitModeRegistersHave32Bits(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            ok(m.enable(EXIT_HYPERCALL, 1 << MAP_GPA_RANGE));
            MemorySegment memory = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, memory.address()));
            memory.set(ValueLayout.JAVA_INT, 0x1000, 0xf4c1010f);
            KvmVcpu v = m.vcpu(0).realMode(0x1000);
            MemorySegment r = v.regs();
            kvm_regs.rax(r, MAP_GPA_RANGE); // upper bits here confuse Linux before 6.13
            kvm_regs.rbx(r, 0x5_0010_0000L);
            kvm_regs.rcx(r, 0x9_0000_0002L);
            kvm_regs.rdx(r, 0x3_0000_0010L);
            v.setRegs();
            v.runTo(KvmVcpu.HYPERCALL);
            MemorySegment hypercall = kvm_run.hypercall(v.run);
            assertEquals(RAM, kvm_run.hypercall.args(hypercall, 0));
            assertEquals(2, kvm_run.hypercall.args(hypercall, 1));
            assertEquals(0x10, kvm_run.hypercall.args(hypercall, 2));
            assertEquals(0, kvm_run.hypercall.flags(hypercall));
            kvm_run.hypercall.ret(hypercall, -5);
            v.runTo(KvmVcpu.HLT);
            assertEquals(0xfffffffbL, kvm_regs.rax(v.regs()));
        }
    }

    @EveryKernel
    void theInstructionIsLeftBehind(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            exits(g, RAM, 1, 0);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(KvmGuest.CODE + 4, kvm_regs.rip(g.v.regs()));
        }
    }

    @EveryKernel
    void vmmcallIsAsGood(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            prepare(g, "0f01d9 f4", MAP_GPA_RANGE, RAM, 1, 0x10);
            g.v.runTo(KvmVcpu.HYPERCALL);
        }
    }

    @EveryKernel
    void anUnknownNumberIsEnosys(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            assertEquals(ENOSYS, call(g, 4711, RAM, 1, 0));
            assertEquals(ENOSYS, call(g, 0, RAM, 1, 0));
            assertEquals(ENOSYS, call(g, -1, RAM, 1, 0));
        }
    }

    @EveryKernel
    void pollingForInterruptsIsNothing(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            assertEquals(0, call(g, 1, 0, 0, 0));
        }
    }

    @EveryKernel
    void aMemoryAttributeIsNotChangedByTheHypercallItself(KernelUnderTest kernel) {
        try (KvmGuest g = enabled(kernel)) {
            g.store(RAM, 4);
            exits(g, RAM, 1, 0x10);
            g.v.runTo(KvmVcpu.HLT);
            assertEquals(4, g.load(RAM), "still the shared page");
        }
    }
}
