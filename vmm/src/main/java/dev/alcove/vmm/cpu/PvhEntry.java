// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.cpu;

import dev.alcove.kvm.Regs;
import dev.alcove.kvm.SegmentRegister;
import dev.alcove.kvm.Sregs;
import dev.alcove.kvm.Vcpu;
import dev.alcove.vmm.loader.PvhLoader;

/**
 * The state in which a PVH image is entered (Xen, "x86/HVM direct boot ABI"): 32-bit protected mode without paging,
 * flat segments, interrupts off, EBX = address of the start information.
 */
public final class PvhEntry {
    private static final int CODE_SELECTOR = 0x8;
    private static final int DATA_SELECTOR = 0x10;
    private static final int TSS_SELECTOR = 0x18;
    private static final int TSS_LIMIT = 0x67;
    private static final long CR0_PROTECTED = 0x11; // PE, ET
    private static final long RFLAGS_RESERVED = 2;

    private PvhEntry() {}

    /** Sets the registers of the first vCPU; the others wait for their start-up message. */
    public static void apply(Vcpu vcpu, PvhLoader.Loaded image) {
        Sregs sregs = vcpu.getSregs();
        SegmentRegister data = SegmentRegister.flatData32(DATA_SELECTOR);
        sregs.cs(SegmentRegister.flatCode32(CODE_SELECTOR));
        sregs.ds(data);
        sregs.es(data);
        sregs.fs(data);
        sregs.gs(data);
        sregs.ss(data);
        sregs.tr(SegmentRegister.busyTss(TSS_SELECTOR, 0, TSS_LIMIT));
        sregs.gdt(0, 0);
        sregs.idt(0, 0);
        sregs.cr0(CR0_PROTECTED);
        sregs.cr3(0);
        sregs.cr4(0);
        sregs.efer(0);
        vcpu.setSregs(sregs);

        Regs regs = new Regs();
        regs.rip(image.entry());
        regs.rbx(image.startInfo());
        regs.rflags(RFLAGS_RESERVED);
        vcpu.setRegs(regs);
    }
}
