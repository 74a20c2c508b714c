// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm_regs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A reusable buffer with the general registers ({@code struct kvm_regs}); all zero at first. Not thread safe. */
public final class Regs {
    private static final String[] NAMES = {
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "rip", "rflags"
    };

    final MemorySegment struct = kvm_regs.allocate(Arena.ofAuto());

    public long rax() {
        return kvm_regs.rax(struct);
    }

    public void rax(long value) {
        kvm_regs.rax(struct, value);
    }

    public long rbx() {
        return kvm_regs.rbx(struct);
    }

    public void rbx(long value) {
        kvm_regs.rbx(struct, value);
    }

    public long rcx() {
        return kvm_regs.rcx(struct);
    }

    public void rcx(long value) {
        kvm_regs.rcx(struct, value);
    }

    public long rdx() {
        return kvm_regs.rdx(struct);
    }

    public void rdx(long value) {
        kvm_regs.rdx(struct, value);
    }

    public long rsi() {
        return kvm_regs.rsi(struct);
    }

    public void rsi(long value) {
        kvm_regs.rsi(struct, value);
    }

    public long rdi() {
        return kvm_regs.rdi(struct);
    }

    public void rdi(long value) {
        kvm_regs.rdi(struct, value);
    }

    public long rsp() {
        return kvm_regs.rsp(struct);
    }

    public void rsp(long value) {
        kvm_regs.rsp(struct, value);
    }

    public long rbp() {
        return kvm_regs.rbp(struct);
    }

    public void rbp(long value) {
        kvm_regs.rbp(struct, value);
    }

    public long r8() {
        return kvm_regs.r8(struct);
    }

    public void r8(long value) {
        kvm_regs.r8(struct, value);
    }

    public long r9() {
        return kvm_regs.r9(struct);
    }

    public void r9(long value) {
        kvm_regs.r9(struct, value);
    }

    public long r10() {
        return kvm_regs.r10(struct);
    }

    public void r10(long value) {
        kvm_regs.r10(struct, value);
    }

    public long r11() {
        return kvm_regs.r11(struct);
    }

    public void r11(long value) {
        kvm_regs.r11(struct, value);
    }

    public long r12() {
        return kvm_regs.r12(struct);
    }

    public void r12(long value) {
        kvm_regs.r12(struct, value);
    }

    public long r13() {
        return kvm_regs.r13(struct);
    }

    public void r13(long value) {
        kvm_regs.r13(struct, value);
    }

    public long r14() {
        return kvm_regs.r14(struct);
    }

    public void r14(long value) {
        kvm_regs.r14(struct, value);
    }

    public long r15() {
        return kvm_regs.r15(struct);
    }

    public void r15(long value) {
        kvm_regs.r15(struct, value);
    }

    public long rip() {
        return kvm_regs.rip(struct);
    }

    public void rip(long value) {
        kvm_regs.rip(struct, value);
    }

    public long rflags() {
        return kvm_regs.rflags(struct);
    }

    public void rflags(long value) {
        kvm_regs.rflags(struct, value);
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < NAMES.length; i++) {
            text.append(i == 0 ? "" : " ").append(NAMES[i]).append('=')
                    .append(Long.toHexString(struct.get(ValueLayout.JAVA_LONG, i * 8L)));
        }
        return text.toString();
    }
}
