// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.cpu.Cpu;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS. Called with the vCPU's mutex held. */
final class VcpuEvents {
    private static final int NMI_PENDING = 1;
    private static final int SIPI_VECTOR = 2;
    private static final int SHADOW = 4;
    private static final int SMM = 8;

    /** What may be set; payloads and triple faults only where their capabilities are enabled, which are not offered. */
    private static final int SETTABLE = NMI_PENDING | SIPI_VECTOR | SHADOW | SMM;

    /** KVM_X86_SHADOW_INT_MOV_SS and KVM_X86_SHADOW_INT_STI: as on AMD, nobody knows which of the two it is. */
    private static final int ANY_SHADOW = 3;

    private static final int NMI = 2;
    private static final int MOST_EXCEPTION = 31;

    private VcpuEvents() {}

    static void get(Vcpu vcpu, MemorySegment s) {
        Cpu cpu = vcpu.cpu();
        int event = cpu.pendingEvent();
        MemorySegment interrupt = kvm_vcpu_events.interrupt(s);
        int vector = vcpu.queuedInterrupt();
        if (event >= Cpu.EXTERNAL) {
            vector = event & 0xff;
        } else if (event == NMI) {
            kvm_vcpu_events.nmi.injected(kvm_vcpu_events.nmi(s), (byte) 1);
        } else if (event >= 0) {
            MemorySegment exception = kvm_vcpu_events.exception(s);
            kvm_vcpu_events.exception.injected(exception, (byte) 1);
            kvm_vcpu_events.exception.nr(exception, (byte) event);
            int code = cpu.pendingErrorCode();
            kvm_vcpu_events.exception.has_error_code(exception, (byte) (code >= 0 ? 1 : 0));
            kvm_vcpu_events.exception.error_code(exception, Math.max(code, 0));
        }
        kvm_vcpu_events.interrupt.injected(interrupt, (byte) (vector >= 0 ? 1 : 0));
        kvm_vcpu_events.interrupt.nr(interrupt, (byte) Math.max(vector, 0));
        kvm_vcpu_events.interrupt.shadow(interrupt, (byte) (cpu.interruptShadow() ? ANY_SHADOW : 0));
        kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(s), (byte) vcpu.nmisQueued());
        Lapic apic = vcpu.lapic();
        kvm_vcpu_events.smi.latched_init(kvm_vcpu_events.smi(s), (byte) (apic != null && apic.hasInit() ? 1 : 0));
        kvm_vcpu_events.flags(s, NMI_PENDING | SHADOW | SMM);
    }

    static int set(Vcpu vcpu, MemorySegment s) {
        int flags = kvm_vcpu_events.flags(s);
        MemorySegment exception = kvm_vcpu_events.exception(s);
        int number = kvm_vcpu_events.exception.nr(exception) & 0xff;
        boolean injected = kvm_vcpu_events.exception.injected(exception) != 0;
        MemorySegment smi = kvm_vcpu_events.smi(s);
        // There is no system management mode, as in a kernel that is built without.
        boolean smm = (kvm_vcpu_events.smi.smm(smi)
                        | kvm_vcpu_events.smi.pending(smi)
                        | kvm_vcpu_events.smi.smm_inside_nmi(smi))
                != 0;
        if ((flags & ~SETTABLE) != 0
                || (injected && (number > MOST_EXCEPTION || number == NMI))
                || ((flags & SMM) != 0 && smm)) {
            return -Errno.EINVAL;
        }
        Cpu cpu = vcpu.cpu();
        cpu.cancelEvent();
        if (kvm_vcpu_events.nmi.injected(kvm_vcpu_events.nmi(s)) != 0) {
            cpu.injectNmi();
        }
        if (injected) {
            boolean hasCode = kvm_vcpu_events.exception.has_error_code(exception) != 0;
            cpu.injectException(number, hasCode ? kvm_vcpu_events.exception.error_code(exception) : -1);
        }
        MemorySegment interrupt = kvm_vcpu_events.interrupt(s);
        vcpu.queueInterrupt(
                kvm_vcpu_events.interrupt.injected(interrupt) != 0
                        ? kvm_vcpu_events.interrupt.nr(interrupt) & 0xff
                        : -1);
        if ((flags & SHADOW) != 0) {
            cpu.setInterruptShadow(kvm_vcpu_events.interrupt.shadow(interrupt) != 0);
        }
        if ((flags & NMI_PENDING) != 0) {
            vcpu.setNmis(kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(s)) & 0xff);
        }
        Lapic apic = vcpu.lapic();
        if ((flags & SIPI_VECTOR) != 0 && apic != null) {
            apic.setSipiVector(kvm_vcpu_events.sipi_vector(s));
        }
        if ((flags & SMM) != 0 && apic != null) {
            apic.setInit(kvm_vcpu_events.smi.latched_init(smi) != 0);
        }
        return 0;
    }
}
