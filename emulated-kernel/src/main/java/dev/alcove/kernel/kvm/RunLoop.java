// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.Cpu;
import dev.alcove.cpu.CpuExit;
import dev.alcove.kernel.task.Signals;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;

/** KVM_RUN of one vCPU, on the calling thread, with the vCPU's mutex held. */
final class RunLoop {
    /** Exit reason of a VM entry with an invalid guest state, with the bit that says so (Intel SDM appendix C). */
    private static final long INVALID_GUEST_STATE = 0x80000021L;

    /** What user space still has to answer. */
    private enum Pending {
        NOTHING,
        PORT_READ,
        MMIO_READ,
        HYPERCALL
    }

    private final Vm vm;
    private final Vcpu vcpu;
    private final Cpu cpu;
    private final RunPage run;
    private Pending pending = Pending.NOTHING;
    private int pendingSize;

    RunLoop(Vcpu vcpu) {
        this.vcpu = vcpu;
        vm = vcpu.vm();
        cpu = vcpu.cpu();
        run = vcpu.runPage();
    }

    /** Runs the vCPU; 0 with an exit reason in the run page, or a negated errno. */
    int run(Task task) {
        Signals signals = task.signals();
        long oldMask = vcpu.attachSignals(signals);
        try {
            run.begin();
            return enter();
        } catch (RuntimeException | Error e) {
            vm.trouble("vCPU " + vcpu.id + ": " + e + " at " + (e.getStackTrace().length == 0 ? "?" : e.getStackTrace()[0]));
            run.internalError(RunPage.UNEXPECTED_EXIT, new byte[0]);
            return 0;
        } finally {
            vcpu.mode().leave();
            vcpu.tprToApic();
            Lapic apic = vcpu.lapic();
            run.save(
                    (cpu.state().rflags & 1 << 9) != 0,
                    vcpu.readyForInterrupt(),
                    cpu.state().cr8,
                    apic == null ? Lapic.DEFAULT_BASE | 0x900 : apic.base());
            SyncedRegisters.store(vcpu, run);
            vcpu.detachSignals(signals, oldMask);
        }
    }

    private int enter() {
        boolean immediate = run.immediateExit();
        if (vcpu.mpState() == Vcpu.UNINITIALIZED) {
            return immediate ? -Errno.EINTR : awaitInit();
        }
        int error = SyncedRegisters.load(vcpu, run);
        if (error != 0) {
            return error;
        }
        if (vcpu.lapic() == null) {
            if (run.cr8() >>> 4 != 0) {
                return -Errno.EINVAL;
            }
            cpu.state().cr8 = run.cr8();
        }
        boolean unfinished = complete();
        if (immediate) {
            return unfinished ? finishInstruction() : -Errno.EINTR;
        }
        if (!vcpu.enterable()) {
            run.failEntry(INVALID_GUEST_STATE);
            return 0;
        }
        run.exit(RunPage.EXIT_UNKNOWN);
        return loop();
    }

    /** An application processor before its first INIT. */
    private int awaitInit() {
        vcpu.block();
        vcpu.acceptEvents();
        return vcpu.signalPending() ? interrupted() : -Errno.EAGAIN;
    }

    private int interrupted() {
        vcpu.statistics().count(Statistic.SIGNAL_EXITS);
        run.exit(RunPage.EXIT_INTR);
        return -Errno.EINTR;
    }

    /** Hands in what user space has answered; true when the instruction has still to be executed with it. */
    private boolean complete() {
        boolean read = pending == Pending.PORT_READ || pending == Pending.MMIO_READ;
        switch (pending) {
            case PORT_READ -> cpu.completeRead(run.ioData(pendingSize));
            case MMIO_READ -> cpu.completeRead(run.mmioData(pendingSize));
            case HYPERCALL -> {
                Hypercalls.finish(cpu.state(), run.hypercallResult());
                cpu.stateChanged();
            }
            case NOTHING -> {}
        }
        pending = Pending.NOTHING;
        return read;
    }

    /** Executes the instruction that user space has completed, and no other: registers and memory then have its data. */
    private int finishInstruction() {
        vcpu.step(true);
        try {
            CpuExit exit = cpu.run();
            vcpu.mode().leave();
            while (exit instanceof CpuExit.MemoryFault && vcpu.bus().takeRetry()) {
                vcpu.step(true);
                exit = cpu.run();
                vcpu.mode().leave();
            }
            return exit instanceof CpuExit.Interrupted ? -Errno.EINTR : Math.min(serve(exit), 0);
        } finally {
            vcpu.step(false);
        }
    }

    private int loop() {
        vcpu.markRun();
        while (true) {
            if (vcpu.mpState() == Vcpu.RUNNABLE && vcpu.dirtyRingFull()) {
                run.exit(RunPage.EXIT_DIRTY_RING_FULL);
                return 0;
            }
            if (vcpu.signalPending()) {
                return interrupted();
            }
            vcpu.acceptEvents();
            if (vcpu.mpState() != Vcpu.RUNNABLE) {
                vcpu.block();
                if (vcpu.mpState() == Vcpu.HALTED && vcpu.wakeUpReason()) {
                    vcpu.setMpState(Vcpu.RUNNABLE);
                }
                continue;
            }
            if (vcpu.interruptWindowOpen()) {
                vcpu.statistics().count(Statistic.REQUEST_IRQ_EXITS);
                run.exit(RunPage.EXIT_IRQ_WINDOW_OPEN);
                return 0;
            }
            CpuExit exit = cpu.run();
            vcpu.mode().leave();
            int result = serve(exit);
            if (result <= 0) {
                return result;
            }
        }
    }

    /** Serves an exit of the processor: 1 to go on, 0 to leave with an exit reason, or a negated errno. */
    private int serve(CpuExit exit) {
        VcpuStatistics statistics = vcpu.statistics();
        statistics.count(Statistic.EXITS);
        switch (exit) {
            case CpuExit.Interrupted() -> {
                return 1;
            }
            case CpuExit.Io(boolean write, int port, int size, long value) -> {
                statistics.count(Statistic.IO_EXITS);
                run.io(write, port, size, value);
                expect(write ? Pending.NOTHING : Pending.PORT_READ, size);
                return 0;
            }
            case CpuExit.Mmio(boolean write, long gpa, int size, long value) -> {
                statistics.count(Statistic.MMIO_EXITS);
                statistics.count(Statistic.INSN_EMULATION);
                run.mmio(write, gpa, size, value);
                expect(write ? Pending.NOTHING : Pending.MMIO_READ, size);
                return 0;
            }
            case CpuExit.Halt() -> {
                statistics.count(Statistic.HALT_EXITS);
                if (vcpu.lapic() == null) {
                    run.exit(RunPage.EXIT_HLT);
                    return 0;
                }
                vcpu.setMpState(Vcpu.HALTED);
                return 1;
            }
            case CpuExit.Hypercall() -> {
                statistics.count(Statistic.HYPERCALLS);
                if (Hypercalls.serve(cpu.state(), vm, run)) {
                    expect(Pending.HYPERCALL, 8);
                    return 0;
                }
                cpu.stateChanged();
                return 1;
            }
            case CpuExit.MemoryFault(long gpa, boolean write, boolean fetch) -> {
                return vcpu.bus().takeRetry() ? 1 : vcpu.bus().reportFault();
            }
            case CpuExit.DeliveryToDevice(long gpa) -> {
                run.deliveryError(gpa);
                return 0;
            }
            case CpuExit.Shutdown() -> {
                run.exit(RunPage.EXIT_SHUTDOWN);
                return 0;
            }
            case CpuExit.InternalError(String message, byte[] bytes) -> {
                statistics.count(Statistic.INSN_EMULATION_FAIL);
                vm.trouble("vCPU " + vcpu.id + ": " + message);
                run.internalError(RunPage.EMULATION, bytes);
                return 0;
            }
        }
    }

    private void expect(Pending what, int size) {
        pending = what;
        pendingSize = size;
    }
}
