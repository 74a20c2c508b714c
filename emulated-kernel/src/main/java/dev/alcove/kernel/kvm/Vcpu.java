// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.Cpu;
import dev.alcove.cpu.CpuState;
import dev.alcove.cpu.FpuState;
import dev.alcove.kernel.task.Signals;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A virtual processor ({@code struct kvm_vcpu}): the emulated one, its local APIC, and what is waiting for it.
 *
 * <p>Everything but {@link #kick} and the APIC belongs to the thread that holds {@link #mutex}.
 */
final class Vcpu implements Lapic.Owner {
    /** In ECX of CPUID leaf 1. */
    private static final int X2APIC = 1 << 21;

    static final int RUNNABLE = 0;
    static final int UNINITIALIZED = 1;
    static final int INIT_RECEIVED = 2;
    static final int HALTED = 3;
    static final int SIPI_RECEIVED = 4;

    /** Held for the whole of every ioctl ({@code vcpu->mutex}). Above all other locks. */
    final ReentrantLock mutex = new ReentrantLock();

    final int id;
    private final Vm vm;
    private final RunPage run;
    private final GuestMode mode;
    private final VcpuBus bus;
    private final Cpu cpu;

    /** The processor's own; the general registers, RIP and RFLAGS are up to date only after {@link Cpu#state()}. */
    private final CpuState state;

    private final @Nullable Lapic lapic;
    private final Msrs msrs;
    private final VcpuRegisters registers = new VcpuRegisters(this);
    private final VcpuStatistics statistics;
    private final Object wakeUp = new Object();
    private CpuidTable cpuid = CpuidTable.empty();
    private int mpState;
    private boolean hasRun;

    /** Set by an ioctl: the state has to be looked at before the next entry. */
    private boolean stateUnchecked;

    /** The mask of KVM_SET_SIGNAL_MASK, if {@link #signalMaskActive}. */
    private long signalMask;

    private boolean signalMaskActive;

    /** The signals of the thread in KVM_RUN. */
    private @Nullable Signals signals;

    /** The vector of KVM_INTERRUPT that waits, or -1. */
    private int queuedInterrupt = -1;

    /** A vector from user space's PIC that waits for LINT0 (split irqchip), or -1. */
    private int externalInterrupt = -1;

    /** NMIs that wait: two at most. */
    private int queuedNmis;

    /** Calls of {@link #attend} before the processor shall leave; 0 to run freely. */
    private int steps;

    /** Guarded by {@link #wakeUp}: something has happened since a blocked vCPU looked. */
    private boolean woken;

    Vcpu(Vm vm, int id, RunPage run) {
        this.vm = vm;
        this.id = id;
        this.run = run;
        mode = new GuestMode(this::kick);
        bus = new VcpuBus(vm, this, mode);
        cpu = new Cpu(bus);
        state = cpu.state();
        statistics = new VcpuStatistics(vm, id);
        boolean bsp = id == vm.bootCpuId();
        lapic = vm.splitIrqchip() ? new Lapic(vm.irqchip().bus(), this, id, bsp) : null;
        msrs = new Msrs(state, lapic, vm::tsc);
        mpState = lapic == null || bsp ? RUNNABLE : UNINITIALIZED;
        vm.stageTwo().add(mode);
        if (lapic != null) {
            vm.irqchip().bus().add(lapic);
        }
    }

    Vm vm() {
        return vm;
    }

    RunPage runPage() {
        return run;
    }

    GuestMode mode() {
        return mode;
    }

    VcpuBus bus() {
        return bus;
    }

    Cpu cpu() {
        return cpu;
    }

    VcpuRegisters registers() {
        return registers;
    }

    VcpuStatistics statistics() {
        return statistics;
    }

    /** Whether the vCPU may not run before user space has reset its dirty ring. */
    boolean dirtyRingFull() {
        DirtyRing ring = run.dirtyRing();
        return ring != null && ring.softFull();
    }

    @Nullable Lapic lapic() {
        return lapic;
    }

    Msrs msrs() {
        return msrs;
    }

    CpuidTable cpuid() {
        return cpuid;
    }

    void setCpuid(CpuidTable table) {
        cpuid = table;
        if (lapic != null) {
            int[] features = new int[4];
            table.query(1, 0, features);
            lapic.features((features[2] & X2APIC) != 0);
        }
    }

    boolean hasRun() {
        return hasRun;
    }

    void markRun() {
        hasRun = true;
    }

    int mpState() {
        return mpState;
    }

    void setMpState(int state) {
        mpState = state;
    }

    /** The registers were written from outside, after {@link Cpu#state()}. */
    void stateChanged() {
        stateUnchecked = true;
        cpu.stateChanged();
    }

    /** Whether the state can be entered; looks only after it was written from outside. */
    boolean enterable() {
        if (stateUnchecked) {
            stateUnchecked = !Registers.enterable(state);
        }
        return !stateUnchecked;
    }

    // Task priority is in the processor (CR8) and in the APIC.

    void tprToApic() {
        Lapic apic = lapic;
        if (apic != null) {
            int cr8 = (int) state.cr8 & 15;
            if (apic.tpr() >> 4 != cr8) {
                apic.setTpr(cr8 << 4);
            }
        }
    }

    void tprFromApic() {
        Lapic apic = lapic;
        if (apic != null) {
            state.cr8 = apic.tpr() >> 4;
        }
    }

    @Override
    public long guestTsc() {
        return vm.tsc() + state.tscOffset;
    }

    // Signals and wake-ups.

    void setSignalMask(boolean active, long mask) {
        signalMaskActive = active;
        signalMask = mask;
    }

    /** Starts to listen to the signals of the thread that runs the vCPU; answers the mask to be restored. */
    long attachSignals(Signals of) {
        signals = of;
        long old = signalMaskActive ? of.setBlocked(signalMask) : of.blocked();
        of.onArrival(this::kick);
        return old;
    }

    void detachSignals(Signals of, long oldMask) {
        of.onArrival(null);
        if (signalMaskActive) {
            of.setBlocked(oldMask);
        }
        signals = null;
    }

    /** Whether a signal that is not blocked waits for the thread in KVM_RUN. */
    boolean signalPending() {
        Signals of = signals;
        return (of != null && (of.pending() & ~of.blocked()) != 0) || Thread.currentThread().isInterrupted();
    }

    /** Makes the vCPU look at what has changed, whether it runs or blocks. Any thread. */
    @Override
    public void kick() {
        cpu.attention();
        synchronized (wakeUp) {
            woken = true;
            wakeUp.notifyAll();
        }
    }

    /** Blocks until {@link #wakeUpReason()} or a signal. */
    void block() {
        long start = System.nanoTime();
        statistics.blocking(true, 0);
        try {
            awaitReason();
        } finally {
            statistics.blocking(false, System.nanoTime() - start);
        }
    }

    private void awaitReason() {
        while (true) {
            synchronized (wakeUp) {
                woken = false;
            }
            if (signalPending() || wakeUpReason()) {
                return;
            }
            synchronized (wakeUp) {
                while (!woken) {
                    try {
                        wakeUp.wait();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                        return;
                    }
                }
            }
        }
    }

    /** Whether a vCPU that does not run has something to do. */
    boolean wakeUpReason() {
        Lapic apic = lapic;
        if (apic == null) {
            return mpState == RUNNABLE;
        }
        if (apic.hasInitOrSipi() || mpState == RUNNABLE) {
            return true;
        }
        return mpState == HALTED && (queuedNmis > 0 || apic.hasNmi() || (cpu.interruptible() && nextInterrupt(apic) >= 0));
    }

    /** Serves INIT and startup messages ({@code kvm_apic_accept_events}). */
    void acceptEvents() {
        Lapic apic = lapic;
        if (apic == null) {
            return;
        }
        if (apic.takeInit()) {
            reset(apic);
            mpState = id == vm.bootCpuId() ? RUNNABLE : INIT_RECEIVED;
        }
        int vector = mpState == INIT_RECEIVED ? apic.takeSipi() : -1;
        if (vector >= 0) {
            CpuState s = cpu.state();
            s.segment[CpuState.CS].selector = vector << 8;
            s.segment[CpuState.CS].base = (long) vector << 12;
            s.rip = 0;
            cpu.stateChanged();
            mpState = RUNNABLE;
        } else if (mpState != INIT_RECEIVED) {
            apic.takeSipi(); // a running processor ignores it
        }
    }

    private void reset(Lapic apic) {
        CpuState s = cpu.state();
        long cr0 = (s.cr0 & 0x60000000L) | 0x10;
        long pat = s.pat;
        long tscAux = s.tscAux;
        long tscOffset = s.tscOffset;
        int[] leaf = new int[4];
        cpuid.query(1, 0, leaf);
        MemorySegment fpu = UserCopy.struct(FpuState.IMAGE_SIZE);
        s.fpu.save(fpu);
        long xcr0 = s.fpu.xcr0;
        s.reset();
        s.fpu.load(fpu); // INIT leaves it alone
        s.fpu.xcr0 = xcr0;
        s.cr0 = cr0;
        s.pat = pat;
        s.tscAux = tscAux;
        s.tscOffset = tscOffset;
        s.gpr[2] = leaf[0] == 0 ? 0x600 : leaf[0];
        apic.reset();
        queuedInterrupt = -1;
        externalInterrupt = -1;
        cpu.stateChanged();
    }

    // Interrupts.

    int queuedInterrupt() {
        return queuedInterrupt;
    }

    void queueInterrupt(int vector) {
        queuedInterrupt = vector;
    }

    int externalInterrupt() {
        return externalInterrupt;
    }

    void setExternalInterrupt(int vector) {
        externalInterrupt = vector;
    }

    void queueNmi() {
        setNmis(queuedNmis + 1);
    }

    void setNmis(int count) {
        queuedNmis = Math.min(count, 2);
    }

    int nmisQueued() {
        Lapic apic = lapic;
        return Math.min(2, queuedNmis + (apic != null && apic.hasNmi() ? 1 : 0));
    }

    private int nextInterrupt(Lapic apic) {
        tprToApic();
        return externalInterrupt >= 0 && apic.acceptsExternal() ? externalInterrupt : apic.pending();
    }

    /** Whether user space may inject with KVM_INTERRUPT now. */
    boolean readyForInterrupt() {
        Lapic apic = lapic;
        return queuedInterrupt < 0
                && cpu.interruptible()
                && (apic == null || (externalInterrupt < 0 && apic.acceptsExternal()));
    }

    /** Makes the next run execute one instruction, or, with false, run freely again. */
    void step(boolean one) {
        steps = one ? 2 : 0;
    }

    /** Whether user space waits for {@link #readyForInterrupt} and it has come. */
    boolean interruptWindowOpen() {
        return run.wantsInterruptWindow() && readyForInterrupt();
    }

    /**
     * Between two instructions, in guest mode: injects what can be injected.
     *
     * @return false when the run loop has something to do
     */
    boolean attend(Cpu processor) {
        if (steps > 0) {
            processor.attention();
            return --steps > 0;
        }
        Lapic apic = lapic;
        if (signalPending() || (apic != null && apic.hasInitOrSipi()) || interruptWindowOpen()) {
            return false;
        }
        if (queuedNmis > 0 || (apic != null && apic.takeNmi())) {
            queuedNmis = Math.max(0, queuedNmis - 1);
            statistics.count(Statistic.NMI_INJECTIONS);
            processor.injectNmi();
            if (queuedInterrupt >= 0 || queuedNmis > 0 || run.wantsInterruptWindow() || apic != null) {
                processor.requestInterruptWindow();
            }
            return true;
        }
        boolean wantsWindow = run.wantsInterruptWindow();
        if (queuedInterrupt >= 0) {
            if (processor.interruptible()) {
                statistics.count(Statistic.IRQ_INJECTIONS);
                processor.injectInterrupt(queuedInterrupt);
                queuedInterrupt = -1;
            } else {
                wantsWindow = true;
            }
        } else if (apic != null) {
            int vector = nextInterrupt(apic);
            if (vector >= 0 && processor.interruptible()) {
                if (vector == externalInterrupt) {
                    externalInterrupt = -1;
                } else {
                    apic.acknowledge(vector);
                }
                statistics.count(Statistic.IRQ_INJECTIONS);
                processor.injectInterrupt(vector);
            }
            // A vector that CR8 keeps back is looked for at every instruction: nobody tells of a write to CR8.
            wantsWindow |= vector >= 0 || apic.heldByTaskPriority();
        }
        if (wantsWindow) {
            processor.requestInterruptWindow();
        }
        return true;
    }
}
