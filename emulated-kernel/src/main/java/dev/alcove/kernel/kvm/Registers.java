// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_debugregs;
import dev.alcove.bindings.kvm.kvm_dtable;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_segment;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.cpu.CpuState;
import dev.alcove.cpu.SegmentRegister;
import java.lang.foreign.MemorySegment;

/** Copies between the processor's state and the structs of the register ioctls. */
final class Registers {
    private static final long CR0_PE = 1;
    private static final long CR0_NW = 1 << 29;
    private static final long CR0_CD = 1 << 30;
    private static final long CR0_PG = 1L << 31;
    private static final long CR4_PAE = 1 << 5;
    private static final long EFER_LME = 1 << 8;
    private static final long EFER_LMA = 1 << 10;

    /** CR4 bits that the emulated processor knows: VME to OSXMMEXCPT, UMIP, FSGSBASE, SMEP, SMAP. */
    private static final long CR4_KNOWN = 0x7ff | 1 << 11 | 1 << 16 | 1 << 20 | 1 << 21;

    /** CR4 bits that every vCPU may set, whatever its CPUID: VME to PCE, OSFXSR, OSXMMEXCPT. */
    private static final long CR4_ALWAYS = 0x7ff;

    private Registers() {}

    /** Whether these registers mean paging with page directory pointers. */
    static boolean threeLevels(MemorySegment r) {
        return (kvm_sregs.cr0(r) & CR0_PG) != 0
                && (kvm_sregs.cr4(r) & CR4_PAE) != 0
                && (kvm_sregs.efer(r) & EFER_LMA) == 0;
    }

    static void get(CpuState s, MemorySegment r) {
        kvm_regs.rax(r, s.gpr[0]);
        kvm_regs.rcx(r, s.gpr[1]);
        kvm_regs.rdx(r, s.gpr[2]);
        kvm_regs.rbx(r, s.gpr[3]);
        kvm_regs.rsp(r, s.gpr[4]);
        kvm_regs.rbp(r, s.gpr[5]);
        kvm_regs.rsi(r, s.gpr[6]);
        kvm_regs.rdi(r, s.gpr[7]);
        kvm_regs.r8(r, s.gpr[8]);
        kvm_regs.r9(r, s.gpr[9]);
        kvm_regs.r10(r, s.gpr[10]);
        kvm_regs.r11(r, s.gpr[11]);
        kvm_regs.r12(r, s.gpr[12]);
        kvm_regs.r13(r, s.gpr[13]);
        kvm_regs.r14(r, s.gpr[14]);
        kvm_regs.r15(r, s.gpr[15]);
        kvm_regs.rip(r, s.rip);
        kvm_regs.rflags(r, s.rflags);
    }

    static void set(CpuState s, MemorySegment r) {
        s.gpr[0] = kvm_regs.rax(r);
        s.gpr[1] = kvm_regs.rcx(r);
        s.gpr[2] = kvm_regs.rdx(r);
        s.gpr[3] = kvm_regs.rbx(r);
        s.gpr[4] = kvm_regs.rsp(r);
        s.gpr[5] = kvm_regs.rbp(r);
        s.gpr[6] = kvm_regs.rsi(r);
        s.gpr[7] = kvm_regs.rdi(r);
        s.gpr[8] = kvm_regs.r8(r);
        s.gpr[9] = kvm_regs.r9(r);
        s.gpr[10] = kvm_regs.r10(r);
        s.gpr[11] = kvm_regs.r11(r);
        s.gpr[12] = kvm_regs.r12(r);
        s.gpr[13] = kvm_regs.r13(r);
        s.gpr[14] = kvm_regs.r14(r);
        s.gpr[15] = kvm_regs.r15(r);
        s.rip = kvm_regs.rip(r);
        s.rflags = kvm_regs.rflags(r) | 2;
    }

    static void getSystem(CpuState s, long apicBase, MemorySegment r) {
        get(s.segment[CpuState.CS], kvm_sregs.cs(r));
        get(s.segment[CpuState.DS], kvm_sregs.ds(r));
        get(s.segment[CpuState.ES], kvm_sregs.es(r));
        get(s.segment[CpuState.FS], kvm_sregs.fs(r));
        get(s.segment[CpuState.GS], kvm_sregs.gs(r));
        get(s.segment[CpuState.SS], kvm_sregs.ss(r));
        get(s.tr, kvm_sregs.tr(r));
        get(s.ldtr, kvm_sregs.ldt(r));
        kvm_dtable.base(kvm_sregs.gdt(r), s.gdtBase);
        kvm_dtable.limit(kvm_sregs.gdt(r), (short) s.gdtLimit);
        kvm_dtable.base(kvm_sregs.idt(r), s.idtBase);
        kvm_dtable.limit(kvm_sregs.idt(r), (short) s.idtLimit);
        kvm_sregs.cr0(r, s.cr0);
        kvm_sregs.cr2(r, s.cr2);
        kvm_sregs.cr3(r, s.cr3);
        kvm_sregs.cr4(r, s.cr4);
        kvm_sregs.cr8(r, s.cr8);
        kvm_sregs.efer(r, s.efer);
        kvm_sregs.apic_base(r, apicBase);
    }

    /** Whether the kernel accepts these registers together ({@code kvm_is_valid_sregs}). */
    static boolean valid(MemorySegment r, CpuidTable cpuid) {
        long cr0 = kvm_sregs.cr0(r);
        long cr4 = kvm_sregs.cr4(r);
        long efer = kvm_sregs.efer(r);
        if ((efer & EFER_LME) != 0 && (cr0 & CR0_PG) != 0) {
            if ((cr4 & CR4_PAE) == 0
                    || (efer & EFER_LMA) == 0
                    || kvm_sregs.cr3(r) >>> MemoryRegion.PHYSICAL_BITS != 0) {
                return false;
            }
        } else if ((efer & EFER_LMA) != 0 || kvm_segment.l(kvm_sregs.cs(r)) != 0) {
            return false;
        }
        return (cr4 & ~(CR4_ALWAYS | (CR4_KNOWN & cpuid.cr4()))) == 0
                && cr0 >>> 32 == 0
                && !((cr0 & CR0_NW) != 0 && (cr0 & CR0_CD) == 0)
                && !((cr0 & CR0_PG) != 0 && (cr0 & CR0_PE) == 0);
    }

    static void setSystem(CpuState s, MemorySegment r) {
        set(s.segment[CpuState.CS], kvm_sregs.cs(r));
        set(s.segment[CpuState.DS], kvm_sregs.ds(r));
        set(s.segment[CpuState.ES], kvm_sregs.es(r));
        set(s.segment[CpuState.FS], kvm_sregs.fs(r));
        set(s.segment[CpuState.GS], kvm_sregs.gs(r));
        set(s.segment[CpuState.SS], kvm_sregs.ss(r));
        set(s.tr, kvm_sregs.tr(r));
        set(s.ldtr, kvm_sregs.ldt(r));
        s.gdtBase = kvm_dtable.base(kvm_sregs.gdt(r));
        s.gdtLimit = kvm_dtable.limit(kvm_sregs.gdt(r)) & 0xffff;
        s.idtBase = kvm_dtable.base(kvm_sregs.idt(r));
        s.idtLimit = kvm_dtable.limit(kvm_sregs.idt(r)) & 0xffff;
        s.cr0 = kvm_sregs.cr0(r) | 1 << 4;
        s.cr2 = kvm_sregs.cr2(r);
        s.cr3 = kvm_sregs.cr3(r);
        s.cr4 = kvm_sregs.cr4(r);
        s.cr8 = kvm_sregs.cr8(r) & 15;
        s.efer = kvm_sregs.efer(r);
    }

    private static void get(SegmentRegister s, MemorySegment r) {
        kvm_segment.base(r, s.base);
        kvm_segment.limit(r, s.limit);
        kvm_segment.selector(r, (short) s.selector);
        kvm_segment.type(r, (byte) s.type);
        kvm_segment.present(r, bit(s.present));
        kvm_segment.dpl(r, (byte) s.dpl);
        kvm_segment.db(r, bit(s.db));
        kvm_segment.s(r, (byte) s.s);
        kvm_segment.l(r, bit(s.l));
        kvm_segment.g(r, bit(s.g));
        kvm_segment.avl(r, bit(s.avl));
        kvm_segment.unusable(r, bit(s.unusable));
    }

    private static byte bit(boolean value) {
        return (byte) (value ? 1 : 0);
    }

    private static void set(SegmentRegister s, MemorySegment r) {
        s.base = kvm_segment.base(r);
        s.limit = kvm_segment.limit(r);
        s.selector = kvm_segment.selector(r) & 0xffff;
        s.type = kvm_segment.type(r) & 15;
        s.present = kvm_segment.present(r) != 0;
        s.dpl = kvm_segment.dpl(r) & 3;
        s.db = kvm_segment.db(r) != 0;
        s.s = kvm_segment.s(r) & 1;
        s.l = kvm_segment.l(r) != 0;
        s.g = kvm_segment.g(r) != 0;
        s.avl = kvm_segment.avl(r) != 0;
        s.unusable = kvm_segment.unusable(r) != 0;
    }

    static void getDebug(CpuState s, MemorySegment r) {
        for (int i = 0; i < 4; i++) {
            kvm_debugregs.db(r, i, s.dr[i]);
        }
        kvm_debugregs.dr6(r, s.dr[6]);
        kvm_debugregs.dr7(r, s.dr[7]);
    }

    /** Whether the struct may be set: no flags, high halves of DR6 and DR7 clear. */
    static boolean validDebug(MemorySegment r) {
        return kvm_debugregs.flags(r) == 0 && kvm_debugregs.dr6(r) >>> 32 == 0 && kvm_debugregs.dr7(r) >>> 32 == 0;
    }

    static void setDebug(CpuState s, MemorySegment r) {
        for (int i = 0; i < 4; i++) {
            s.dr[i] = kvm_debugregs.db(r, i);
        }
        s.dr[6] = kvm_debugregs.dr6(r);
        s.dr[7] = kvm_debugregs.dr7(r);
    }

    /** Whether a processor could enter the guest with this state; the checks of a VM entry that can fail here. */
    static boolean enterable(CpuState s) {
        boolean protectedMode = (s.cr0 & CR0_PE) != 0;
        boolean virtual8086 = (s.rflags & 1 << 17) != 0;
        if (virtual8086 && (!protectedMode || (s.efer & EFER_LMA) != 0)) {
            return false;
        }
        SegmentRegister cs = s.segment[CpuState.CS];
        return !protectedMode || virtual8086 || (cs.present && cs.s == 1 && (cs.type & 8) != 0 && !(cs.l && cs.db));
    }
}
