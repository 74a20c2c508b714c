// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_debugregs;
import dev.alcove.bindings.kvm.kvm_fpu;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_xcr;
import dev.alcove.bindings.kvm.kvm_xcrs;
import dev.alcove.bindings.kvm.kvm_xsave;
import dev.alcove.cpu.CpuState;
import dev.alcove.cpu.FpuState;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The registers of a vCPU as the structs of the register ioctls, and of the run page, show them. Called with the vCPU's
 * mutex held. What sets something answers 0 or a negated errno, with nothing changed.
 */
final class VcpuRegisters {
    /** Size of {@code struct kvm_sregs2}, which begins as {@code struct kvm_sregs} does. */
    static final int SREGS2_SIZE = 320;

    private static final int SREGS2_FLAGS = 280;
    private static final int SREGS2_PDPTRS = 288;
    private static final int PDPTRS_VALID = 1;

    /** Where an XSAVE area has its header, and in it the components that are there. */
    private static final int XSAVE_HEADER = 512;

    private static final int KNOWN_COMPONENTS = FpuState.X87 | FpuState.SSE;

    /** KVM_MAX_XCRS. */
    private static final int MOST_XCRS = 16;

    private static final int XCR0 = 0;

    private final Vcpu vcpu;

    VcpuRegisters(Vcpu vcpu) {
        this.vcpu = vcpu;
    }

    private CpuState state() {
        return vcpu.cpu().state();
    }

    void general(MemorySegment s) {
        Registers.get(state(), s);
    }

    int setGeneral(MemorySegment s) {
        Registers.set(state(), s);
        vcpu.stateChanged();
        return 0;
    }

    /** KVM_GET_SREGS. */
    void system(MemorySegment s) {
        commonSystem(s);
        int vector = vcpu.queuedInterrupt();
        if (vector >= 0) {
            kvm_sregs.interrupt_bitmap(s, vector >>> 6, 1L << vector);
        }
    }

    private void commonSystem(MemorySegment s) {
        Lapic apic = vcpu.lapic();
        Registers.getSystem(state(), apic == null ? Lapic.DEFAULT_BASE | 0x900 : apic.base(), s);
    }

    /** KVM_SET_SREGS. */
    int setSystem(MemorySegment s) {
        int error = setCommonSystem(s);
        for (int i = 255; error == 0 && i >= 0; i--) {
            if ((kvm_sregs.interrupt_bitmap(s, i >>> 6) >>> i & 1) != 0) {
                vcpu.queueInterrupt(i);
                break;
            }
        }
        return error;
    }

    private int setCommonSystem(MemorySegment s) {
        Lapic apic = vcpu.lapic();
        if (!Registers.valid(s, vcpu.cpuid()) || (apic != null && !apic.setBase(kvm_sregs.apic_base(s), true))) {
            return -Errno.EINVAL;
        }
        Registers.setSystem(state(), s);
        vcpu.tprToApic();
        vcpu.stateChanged();
        return 0;
    }

    /** KVM_GET_SREGS2. */
    void system2(MemorySegment s) {
        commonSystem(s);
        if (Registers.threeLevels(s)) {
            s.set(ValueLayout.JAVA_LONG, SREGS2_FLAGS, PDPTRS_VALID);
            for (int i = 0; i < 4; i++) {
                long entry = vcpu.vm().stageTwo().read((kvm_sregs.cr3(s) & 0xffffffe0L) + i * 8L);
                s.set(ValueLayout.JAVA_LONG, SREGS2_PDPTRS + i * 8L, entry == -1 ? 0 : entry);
            }
        }
    }

    /** KVM_SET_SREGS2; the processor reads its page directory pointers from memory, not from here. */
    int setSystem2(MemorySegment s) {
        long flags = s.get(ValueLayout.JAVA_LONG, SREGS2_FLAGS);
        if ((flags & ~PDPTRS_VALID) != 0 || (flags != 0 && !Registers.threeLevels(s))) {
            return -Errno.EINVAL;
        }
        return setCommonSystem(s);
    }

    /** KVM_GET_FPU, which leaves MXCSR out. */
    void fpu(MemorySegment s) {
        MemorySegment image = image();
        MemorySegment.copy(image, 160, s, kvm_fpu.xmm$offset(), 256);
        MemorySegment.copy(image, 32, s, kvm_fpu.fpr$offset(), 128);
        FpuState f = state().fpu;
        kvm_fpu.fcw(s, (short) f.control);
        kvm_fpu.fsw(s, (short) f.status);
        kvm_fpu.ftwx(s, (byte) f.tags);
        kvm_fpu.last_opcode(s, (short) f.lastOpcode);
        kvm_fpu.last_ip(s, f.lastInstruction);
        kvm_fpu.last_dp(s, f.lastData);
    }

    /** KVM_SET_FPU. */
    int setFpu(MemorySegment s) {
        MemorySegment image = image();
        MemorySegment.copy(s, kvm_fpu.xmm$offset(), image, 160, 256);
        MemorySegment.copy(s, kvm_fpu.fpr$offset(), image, 32, 128);
        image.set(ValueLayout.JAVA_SHORT, 0, kvm_fpu.fcw(s));
        image.set(ValueLayout.JAVA_SHORT, 2, kvm_fpu.fsw(s));
        image.set(ValueLayout.JAVA_SHORT, 4, (short) (kvm_fpu.ftwx(s) & 0xff));
        image.set(ValueLayout.JAVA_SHORT, 6, kvm_fpu.last_opcode(s));
        image.set(ValueLayout.JAVA_LONG, 8, kvm_fpu.last_ip(s));
        image.set(ValueLayout.JAVA_LONG, 16, kvm_fpu.last_dp(s));
        state().fpu.load(image);
        return 0;
    }

    private MemorySegment image() {
        MemorySegment image = UserCopy.struct(FpuState.IMAGE_SIZE);
        state().fpu.save(image);
        return image;
    }

    /** KVM_GET_XSAVE and KVM_GET_XSAVE2: the components that are not in their initial state. */
    void xsave(MemorySegment s) {
        state().fpu.save(s);
        s.set(ValueLayout.JAVA_LONG, XSAVE_HEADER, state().fpu.inUse());
    }

    /** KVM_SET_XSAVE; a component that is not there becomes initial. */
    int setXsave(MemorySegment s) {
        long components = s.get(ValueLayout.JAVA_LONG, XSAVE_HEADER);
        boolean reserved = s.asSlice(XSAVE_HEADER + 8, 56).mismatch(UserCopy.struct(56)) >= 0;
        FpuState initial = new CpuState().fpu;
        if ((components & ~KNOWN_COMPONENTS) != 0 || reserved || mxcsrReserved(s)) {
            return -Errno.EINVAL;
        }
        MemorySegment image = UserCopy.struct(kvm_xsave.sizeof());
        initial.save(image);
        if ((components & FpuState.X87) != 0) {
            MemorySegment.copy(s, 0, image, 0, 24);
            MemorySegment.copy(s, 32, image, 32, 128);
        }
        if ((components & FpuState.SSE) != 0) {
            MemorySegment.copy(s, 160, image, 160, 256);
        }
        if (components != 0) {
            image.set(ValueLayout.JAVA_INT, 24, s.get(ValueLayout.JAVA_INT, 24));
        }
        state().fpu.load(image);
        return 0;
    }

    private static boolean mxcsrReserved(MemorySegment s) {
        return (s.get(ValueLayout.JAVA_INT, 24) & ~FpuState.MXCSR_MASK) != 0;
    }

    /** KVM_GET_XCRS: none without XSAVE. */
    void xcrs(MemorySegment s) {
        if (CpuidTable.supported().hasXsave()) {
            kvm_xcrs.nr_xcrs(s, 1);
            kvm_xcr.value(kvm_xcrs.xcrs(s, 0), state().fpu.xcr0);
        }
    }

    /** KVM_SET_XCRS: the first XCR0 among them counts, others are not looked at. */
    int setXcrs(MemorySegment s) {
        int count = kvm_xcrs.nr_xcrs(s);
        if (!CpuidTable.supported().hasXsave()
                || Integer.compareUnsigned(count, MOST_XCRS) > 0
                || kvm_xcrs.flags(s) != 0) {
            return -Errno.EINVAL;
        }
        for (int i = 0; i < count; i++) {
            MemorySegment xcr = kvm_xcrs.xcrs(s, i);
            if (kvm_xcr.xcr(xcr) == XCR0) {
                long value = kvm_xcr.value(xcr);
                long valid = (vcpu.cpuid().xcr0() & KNOWN_COMPONENTS) | FpuState.X87;
                if ((value & ~valid) != 0 || (value & FpuState.X87) == 0) {
                    return -Errno.EINVAL;
                }
                state().fpu.xcr0 = value;
                return 0;
            }
        }
        return 0;
    }

    void debug(MemorySegment s) {
        Registers.getDebug(state(), s);
    }

    int setDebug(MemorySegment s) {
        if (kvm_debugregs.flags(s) != 0 || !Registers.validDebug(s)) {
            return -Errno.EINVAL;
        }
        Registers.setDebug(state(), s);
        vcpu.stateChanged();
        return 0;
    }
}
