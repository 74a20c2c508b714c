// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.explore.schedule.Strand;
import dev.alcove.explore.schedule.Violation;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.kvm.GuestSteps;
import dev.alcove.kvm.Vcpu;
import dev.alcove.sys.AlcoveException;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.bus.MmioBus;
import dev.alcove.vmm.bus.PortBus;
import dev.alcove.vmm.bus.PortDevice;
import dev.alcove.vmm.cpu.ExitHandler;
import dev.alcove.vmm.cpu.VcpuThread;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.jspecify.annotations.Nullable;

/** Runs one {@link Storm}. Everything but the constructor and {@link #run} belongs to whoever has the baton. */
final class StormRun implements GuestSteps {
    private static final int STEP_LIMIT = 20_000;

    private final Storm storm;
    private final Scheduler scheduler;
    private final Ledger ledger;
    private final List<Strand> cpuStrands = new ArrayList<>();
    private final StormMachine machine;
    private final KernelChecks checks;
    private final Watched conversions;
    private final List<CompletableFuture<VmOutcome>> outcomes = new ArrayList<>();

    private StormRun(Storm storm, KernelProfile profile, Parts parts, boolean logging) {
        this.storm = storm;
        this.scheduler = new Scheduler(storm.chooser(), this::look, STEP_LIMIT, logging);
        int strands = storm.vcpus().size() + 2;
        this.ledger = new Ledger(storm, strands);
        this.machine = new StormMachine(storm, profile, parts, scheduler, this);
        this.checks = new KernelChecks(
                machine.kernel(), machine.memory().blocks(), storm.layout(), ledger, machine.ports());
        this.conversions = new Watched(machine.engine(), scheduler, ledger, storm, strands);
    }

    /**
     * Runs a case on a kernel of its own, and on a thread of its own: a kernel is reachable from what each thread that
     * called it has of it, so it goes when they have ended.
     */
    static Ending run(Storm storm, KernelProfile profile, Parts parts, boolean logging) {
        FutureTask<Ending> task = new FutureTask<>(() -> runHere(storm, profile, parts, logging));
        Thread.ofPlatform().daemon().name("storm").start(task);
        try {
            return task.get();
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted");
        } catch (ExecutionException e) {
            throw new IllegalStateException("seed " + storm.seed(), e.getCause());
        }
    }

    private static Ending runHere(Storm storm, KernelProfile profile, Parts parts, boolean logging) {
        StormRun run = new StormRun(storm, profile, parts, logging);
        try {
            Violation violation = run.run();
            Scheduler scheduler = run.scheduler;
            return new Ending(
                    violation,
                    scheduler.steps(),
                    scheduler.switches(),
                    scheduler.contextSwitches(),
                    scheduler.fingerprint(),
                    run.machine.failure().struck(),
                    scheduler.log());
        } finally {
            run.machine.close();
        }
    }

    private @Nullable Violation look() {
        return checks.look();
    }

    private @Nullable Violation run() {
        PortBus ports = new PortBus();
        ExitHandler handler = new ExitHandler(ports, new MmioBus(), conversions);
        for (Vcpu vcpu : machine.vcpus()) {
            Strand strand = scheduler.strand(storm.vcpus().get(vcpu.id()).name());
            cpuStrands.add(strand);
            CompletableFuture<VmOutcome> outcome = new CompletableFuture<>();
            outcomes.add(outcome);
            ports.add(GuestCode.FIRST_PORT + vcpu.id() * GuestCode.PORTS, GuestCode.PORTS, new Results(vcpu.id(), strand));
            if (storm.vcpus().get(vcpu.id()).ops().isEmpty()) {
                outcome.complete(new VmOutcome.GuestSuccess());
                scheduler.leaveOut(strand);
            } else {
                new VcpuThread(vcpu, handler, outcome, scheduler.threads(strand));
            }
        }
        add(storm.device());
        add(storm.plug());
        machine.failure().arm();
        Violation violation;
        try {
            violation = scheduler.run();
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted");
        }
        machine.failure().disarm();
        return violation != null ? violation : judge();
    }

    private void add(Program program) {
        Strand strand = scheduler.strand(program.name());
        if (program.ops().isEmpty()) {
            scheduler.leaveOut(strand);
        } else {
            scheduler.threads(strand).newThread(() -> program.ops().forEach(op -> perform(strand, op)));
        }
    }

    private @Nullable Violation judge() {
        List<String> violations = machine.check();
        if (!violations.isEmpty()) {
            return new Violation("the invariants do not hold at the end", String.join("; ", violations));
        }
        Violation unexplained = ledger.compare(checks.privatePages());
        if (unexplained != null) {
            return unexplained;
        }
        for (int cpu = 0; cpu < outcomes.size(); cpu++) {
            VmOutcome outcome = outcomes.get(cpu).getNow(new VmOutcome.GuestFailure("it ended without an outcome"));
            // With a failure a vCPU may end early: there is memory that it cannot get.
            if (storm.fault() == null && !(outcome instanceof VmOutcome.GuestSuccess)) {
                return new Violation("a vCPU has stopped", "vCPU " + cpu + ": " + outcome.reason());
            }
        }
        List<String> left = machine.takeDown();
        return left.isEmpty() ? null : new Violation("something is left at the end", String.join("; ", left));
    }

    @Override
    public void instruction(int vcpu, long rip) {
        Op op = machine.code(vcpu).startingAt(rip);
        if (op != null) {
            Strand strand = cpuStrands.get(vcpu);
            strand.begin(op.number());
            scheduler.step(op::text);
            if (op instanceof Op.Store(int _, int page, int value)) {
                ledger.stored(page, value);
            }
        }
    }

    @Override
    public void lookedUp(int vcpu, long gpa, boolean write) {
        scheduler.step(() -> "has looked up the frame of gpa 0x" + Long.toHexString(gpa) + (write ? " for writing" : ""));
    }

    /** What comes out of a guest's program. */
    private final class Results implements PortDevice {
        private final int cpu;
        private final Strand strand;

        Results(int cpu, Strand strand) {
            this.cpu = cpu;
            this.strand = strand;
        }

        @Override
        public int read(int offset, int size) {
            return -1;
        }

        @Override
        public void write(int offset, int size, int value) {
            switch (offset) {
                case GuestCode.RESULT -> result(value);
                case GuestCode.TOUCH -> touch(value >>> 1, (value & 1) != 0);
                default -> outcomes.get(cpu).complete(new VmOutcome.GuestSuccess());
            }
        }

        private void result(int value) {
            Op op = storm.vcpus().get(cpu).ops().stream()
                    .filter(each -> each.number() == strand.operation())
                    .findFirst()
                    .orElseThrow();
            scheduler.note(() -> "guest has 0x" + Integer.toHexString(value));
            Violation violation = switch (op) {
                case Op.Convert convert ->
                    ledger.answered(strand.name(), convert, value, conversions.lastAnswer(strand));
                case Op.Load(int _, int page) -> ledger.loaded(strand.name(), page, value);
                default -> null;
            };
            if (violation != null) {
                scheduler.fail(violation);
            }
        }

        /** What a vCPU of a machine with encrypted memory leaves KVM_RUN with. */
        private void touch(int page, boolean asPrivate) {
            boolean isPrivate = (checks.privatePages() >>> page & 1) != 0;
            if (isPrivate != asPrivate) {
                VmOutcome end = memoryFault(page, asPrivate);
                if (end != null) {
                    outcomes.get(cpu).complete(end);
                }
            }
        }

        private @Nullable VmOutcome memoryFault(int page, boolean asPrivate) {
            scheduler.note(() -> "KVM_EXIT_MEMORY_FAULT");
            var outcome = conversions.memoryFault(asPrivate ? 8 : 0, (long) page * Layout.PAGE, Layout.PAGE);
            return outcome.isDone() ? null : new VmOutcome.InvariantViolated(outcome.toString());
        }
    }

    private void perform(Strand strand, Op op) {
        strand.begin(op.number());
        scheduler.step(op::text);
        switch (op) {
            case Op.Dma dma -> transfer(dma);
            case Op.Plug(int _, int number) -> mayBeRefused(() -> machine.plug(number, what -> scheduler.note(() -> what)));
            case Op.Unplug(int _, int number) -> unplug(number);
            case Op.Convert _, Op.Touch _, Op.Store _, Op.Load _ ->
                throw new IllegalStateException("not of this thread: " + op);
        }
    }

    private void mayBeRefused(Runnable action) {
        try {
            action.run();
        } catch (AlcoveException refused) {
            scheduler.note(() -> "is refused: " + refused.getMessage());
            if (storm.fault() == null) {
                scheduler.fail(new Violation("a device is refused", String.valueOf(refused.getMessage())));
            }
        }
    }

    /** A device can always be taken away, whatever fails. */
    private void unplug(int number) {
        try {
            machine.ports().get(number).unplug();
        } catch (AlcoveException refused) {
            scheduler.fail(new Violation("a device cannot be taken away", String.valueOf(refused.getMessage())));
        }
    }

    private void transfer(Op.Dma op) {
        Port port = machine.ports().get(op.device());
        MemorySegment word = MemorySegment.ofArray(new byte[Integer.BYTES]);
        long iova = (long) op.page() * Layout.PAGE;
        boolean mustReach = storm.layout().isStill(op.page()) && port.follows();
        boolean reached;
        if (op.write()) {
            word.set(ValueLayout.JAVA_INT_UNALIGNED, 0, op.number() | 1 << 30);
            reached = port.device().dma().write(iova, word);
        } else {
            reached = port.device().dma().read(iova, word);
        }
        int value = word.get(ValueLayout.JAVA_INT_UNALIGNED, 0);
        scheduler.answer(() -> reached ? ": 0x" + Integer.toHexString(value) : ": blocked by the IOMMU");
        if (mustReach && (!reached || value != op.page() * Ledger.PATTERN)) {
            scheduler.fail(new Violation("a device cannot use a shared page that nobody converts", Objects.toString(op.text())
                    + (reached ? " and gets 0x" + Integer.toHexString(value) : " and is blocked")));
        }
    }
}
