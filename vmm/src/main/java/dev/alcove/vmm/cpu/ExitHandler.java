// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.cpu;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.Outcome;
import dev.alcove.kvm.KvmRun;
import dev.alcove.kvm.Vcpu;
import dev.alcove.kvm.VmExit;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.bus.MmioBus;
import dev.alcove.vmm.bus.PortBus;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.conversion.ConversionRequest;
import org.jspecify.annotations.Nullable;

/**
 * Serves the exits of vCPUs. One handler serves all vCPUs of a machine, each on its own thread; it has no state of
 * its own.
 */
public final class ExitHandler {
    private static final int KVM_HC_MAP_GPA_RANGE = 12;
    /** Error numbers of hypercalls (uapi/linux/kvm_para.h). */
    private static final long KVM_ENOSYS = 1000;

    private final PortBus ports;
    private final MmioBus mmio;
    private final Conversions conversions;

    public ExitHandler(PortBus ports, MmioBus mmio, Conversions conversions) {
        this.ports = ports;
        this.mmio = mmio;
        this.conversions = conversions;
    }

    /**
     * Serves the exit that KVM_RUN came back with.
     *
     * @param answer what KVM_RUN answered: 0, or a negated errno other than EINTR and EAGAIN
     * @return how the machine ends, or null to go on
     */
    public @Nullable VmOutcome handle(Vcpu vcpu, int answer) {
        KvmRun run = vcpu.shared();
        int reason = run.exitReason();
        if (answer < 0) {
            boolean memoryFault = (answer == -Errno.EFAULT || answer == -Errno.EHWPOISON)
                    && reason == kvm.KVM_EXIT_MEMORY_FAULT();
            return memoryFault ? memoryFault(vcpu, run, answer) : refusedRun(vcpu, answer);
        }
        if (reason == kvm.KVM_EXIT_IO()) {
            portAccess(run);
        } else if (reason == kvm.KVM_EXIT_MMIO()) {
            mmioAccess(run);
        } else if (reason == kvm.KVM_EXIT_HYPERCALL()) {
            return hypercall(vcpu, run);
        } else if (reason == kvm.KVM_EXIT_MEMORY_FAULT()) {
            return memoryFault(vcpu, run, answer);
        } else if (reason != kvm.KVM_EXIT_INTR()
                && reason != kvm.KVM_EXIT_IRQ_WINDOW_OPEN()
                && reason != kvm.KVM_EXIT_IOAPIC_EOI()) {
            return fatal(vcpu, run.exit());
        }
        return null;
    }

    private void portAccess(KvmRun run) {
        int port = run.ioPort();
        int size = run.ioSize();
        int count = run.ioCount();
        if (run.ioOut()) {
            for (int i = 0; i < count; i++) {
                ports.write(port, size, run.ioValue(i));
            }
        } else {
            for (int i = 0; i < count; i++) {
                run.ioValue(i, ports.read(port, size));
            }
        }
    }

    private void mmioAccess(KvmRun run) {
        if (run.mmioWrite()) {
            mmio.write(run.mmioGpa(), run.mmioLength(), run.mmioValue());
        } else {
            run.mmioValue(mmio.read(run.mmioGpa(), run.mmioLength()));
        }
    }

    private @Nullable VmOutcome hypercall(Vcpu vcpu, KvmRun run) {
        if (run.hypercallNr() != KVM_HC_MAP_GPA_RANGE) {
            run.hypercallReturn(-KVM_ENOSYS);
            return null;
        }
        long gpa = run.hypercallArgument(0);
        long pages = run.hypercallArgument(1);
        long attributes = run.hypercallArgument(2);
        Outcome outcome = conversions.hypercall(gpa, pages, attributes);
        if (outcome.isDone() && conversions.prefault() && ConversionRequest.isToPrivate(attributes)) {
            // What the kernel does not do now, it does when the guest touches the page.
            vcpu.preFaultMemory(gpa, pages * Linux.PAGE_SIZE);
        }
        run.hypercallReturn(ConversionEngine.hypercallReturn(outcome));
        return outcome instanceof Outcome.Unsafe unsafe ? new VmOutcome.InvariantViolated(unsafe.reason()) : null;
    }

    /** The guest touched a page as what it is not: an implicit conversion. */
    private @Nullable VmOutcome memoryFault(Vcpu vcpu, KvmRun run, int answer) {
        if (answer == -Errno.EHWPOISON) {
            return refusedRun(vcpu, answer);
        }
        return switch (conversions.memoryFault(run.memoryFaultFlags(), run.memoryFaultGpa(), run.memoryFaultSize())) {
            case Outcome.Done _ -> null;
            case Outcome.Refused refused -> new VmOutcome.GuestFailure(
                    "vCPU " + vcpu.id() + ": " + refused.reason() + where(vcpu));
            case Outcome.Unsafe unsafe -> new VmOutcome.InvariantViolated(unsafe.reason());
        };
    }

    private static VmOutcome refusedRun(Vcpu vcpu, int answer) {
        return new VmOutcome.GuestFailure("KVM_RUN of vCPU " + vcpu.id() + ": " + Errno.name(answer) + " ("
                + Errno.message(answer) + "), " + vcpu.shared().exit() + where(vcpu));
    }

    private static VmOutcome fatal(Vcpu vcpu, VmExit exit) {
        String what = switch (exit) {
            case VmExit.Shutdown _ -> "triple fault";
            case VmExit.Hlt _ -> "halted without an interrupt controller that could wake it";
            case VmExit.FailEntry entry -> "the hardware refused its state (reason " + hex(entry.hardwareReason())
                    + ")";
            case VmExit.InternalError error when error.suberror() == kvm.KVM_INTERNAL_ERROR_EMULATION() ->
                    "KVM cannot emulate its instruction: " + error;
            case VmExit.InternalError error -> "KVM gave up: " + error;
            case VmExit.SystemEvent event -> "system event " + event.type() + " (" + hex(event.data()) + ")";
            default -> "unexpected exit " + exit;
        };
        return new VmOutcome.GuestFailure("vCPU " + vcpu.id() + ": " + what + where(vcpu));
    }

    /** Where the vCPU was. After a shutdown KVM may show the state of a reset instead. */
    private static String where(Vcpu vcpu) {
        return " at rip " + hex(vcpu.getRegs().rip());
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}
