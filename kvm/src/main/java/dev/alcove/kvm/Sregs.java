// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm_dtable;
import dev.alcove.bindings.kvm.kvm_sregs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A reusable buffer with the system registers ({@code struct kvm_sregs}); all zero at first. Not thread safe. */
public final class Sregs {
    final MemorySegment struct = kvm_sregs.allocate(Arena.ofAuto());

    public SegmentRegister cs() {
        return SegmentRegister.read(kvm_sregs.cs(struct));
    }

    public void cs(SegmentRegister value) {
        value.write(kvm_sregs.cs(struct));
    }

    public SegmentRegister ds() {
        return SegmentRegister.read(kvm_sregs.ds(struct));
    }

    public void ds(SegmentRegister value) {
        value.write(kvm_sregs.ds(struct));
    }

    public SegmentRegister es() {
        return SegmentRegister.read(kvm_sregs.es(struct));
    }

    public void es(SegmentRegister value) {
        value.write(kvm_sregs.es(struct));
    }

    public SegmentRegister fs() {
        return SegmentRegister.read(kvm_sregs.fs(struct));
    }

    public void fs(SegmentRegister value) {
        value.write(kvm_sregs.fs(struct));
    }

    public SegmentRegister gs() {
        return SegmentRegister.read(kvm_sregs.gs(struct));
    }

    public void gs(SegmentRegister value) {
        value.write(kvm_sregs.gs(struct));
    }

    public SegmentRegister ss() {
        return SegmentRegister.read(kvm_sregs.ss(struct));
    }

    public void ss(SegmentRegister value) {
        value.write(kvm_sregs.ss(struct));
    }

    public SegmentRegister tr() {
        return SegmentRegister.read(kvm_sregs.tr(struct));
    }

    public void tr(SegmentRegister value) {
        value.write(kvm_sregs.tr(struct));
    }

    public SegmentRegister ldt() {
        return SegmentRegister.read(kvm_sregs.ldt(struct));
    }

    public void ldt(SegmentRegister value) {
        value.write(kvm_sregs.ldt(struct));
    }

    /** Linear address of the global descriptor table. */
    public long gdtBase() {
        return kvm_dtable.base(kvm_sregs.gdt(struct));
    }

    /** Last valid byte of the global descriptor table. */
    public int gdtLimit() {
        return Short.toUnsignedInt(kvm_dtable.limit(kvm_sregs.gdt(struct)));
    }

    public void gdt(long base, int limit) {
        kvm_dtable.base(kvm_sregs.gdt(struct), base);
        kvm_dtable.limit(kvm_sregs.gdt(struct), (short) limit);
    }

    /** Linear address of the interrupt descriptor table. */
    public long idtBase() {
        return kvm_dtable.base(kvm_sregs.idt(struct));
    }

    /** Last valid byte of the interrupt descriptor table. */
    public int idtLimit() {
        return Short.toUnsignedInt(kvm_dtable.limit(kvm_sregs.idt(struct)));
    }

    public void idt(long base, int limit) {
        kvm_dtable.base(kvm_sregs.idt(struct), base);
        kvm_dtable.limit(kvm_sregs.idt(struct), (short) limit);
    }

    public long cr0() {
        return kvm_sregs.cr0(struct);
    }

    public void cr0(long value) {
        kvm_sregs.cr0(struct, value);
    }

    public long cr2() {
        return kvm_sregs.cr2(struct);
    }

    public void cr2(long value) {
        kvm_sregs.cr2(struct, value);
    }

    public long cr3() {
        return kvm_sregs.cr3(struct);
    }

    public void cr3(long value) {
        kvm_sregs.cr3(struct, value);
    }

    public long cr4() {
        return kvm_sregs.cr4(struct);
    }

    public void cr4(long value) {
        kvm_sregs.cr4(struct, value);
    }

    public long cr8() {
        return kvm_sregs.cr8(struct);
    }

    public void cr8(long value) {
        kvm_sregs.cr8(struct, value);
    }

    public long efer() {
        return kvm_sregs.efer(struct);
    }

    public void efer(long value) {
        kvm_sregs.efer(struct, value);
    }

    public long apicBase() {
        return kvm_sregs.apic_base(struct);
    }

    public void apicBase(long value) {
        kvm_sregs.apic_base(struct, value);
    }

    @Override
    public String toString() {
        return "cr0=" + Long.toHexString(cr0()) + " cr2=" + Long.toHexString(cr2()) + " cr3=" + Long.toHexString(cr3())
                + " cr4=" + Long.toHexString(cr4()) + " efer=" + Long.toHexString(efer()) + " cs=" + cs() + " ss="
                + ss() + " gdt=" + Long.toHexString(gdtBase()) + " idt=" + Long.toHexString(idtBase());
    }
}
