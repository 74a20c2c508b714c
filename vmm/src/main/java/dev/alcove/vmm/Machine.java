// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.DiscardRules;
import dev.alcove.discard.DiscardRules.Rule;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RangeSet;
import dev.alcove.discard.Waiting;
import dev.alcove.kvm.CpuidEntry;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vcpu;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.HostMemory;
import dev.alcove.memory.MemoryUsage;
import dev.alcove.memory.RamBlock;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.bus.MmioBus;
import dev.alcove.vmm.bus.PortBus;
import dev.alcove.vmm.conversion.ConversionCounters;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.conversion.ConversionRequest;
import dev.alcove.vmm.conversion.InvariantChecker;
import dev.alcove.vmm.cpu.Conversions;
import dev.alcove.vmm.cpu.ExitHandler;
import dev.alcove.vmm.cpu.GuestCpuid;
import dev.alcove.vmm.cpu.PvhEntry;
import dev.alcove.vmm.cpu.VcpuThread;
import dev.alcove.vmm.device.Board;
import dev.alcove.vmm.device.DebugExit;
import dev.alcove.vmm.device.DeviceWindow;
import dev.alcove.vmm.device.InterruptRoutes;
import dev.alcove.vmm.device.PciHost;
import dev.alcove.vmm.device.Serial16550;
import dev.alcove.vmm.loader.MemoryMap;
import dev.alcove.vmm.loader.PvhLoader;
import dev.alcove.vmm.timeline.MemorySample;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A virtual machine, from its first file descriptor to its last.
 *
 * <p>{@link #create} builds everything in the order memory, IOMMU and device, vCPUs; {@link #run} runs it once;
 * {@link #close} takes everything back in the reverse order, as does a create that fails half way. One thread does
 * all three.
 */
public final class Machine implements AutoCloseable {
    private static final int KVM_HC_MAP_GPA_RANGE = 12;

    private final MachineConfig config;
    private final CloseStack resources;
    private final Vm vm;
    private final GuestMemory memory;
    private final PortBus ports = new PortBus();
    private final MmioBus mmio = new MmioBus();
    private final CompletableFuture<VmOutcome> outcome = new CompletableFuture<>();
    private final List<Vcpu> vcpus = new ArrayList<>();
    private final ConversionEngine engine;
    private final InvariantChecker checker;
    private final AssignedDevices devices;
    private final Baseline baseline;

    /** What the engine had counted before the guest ran. */
    private record Baseline(long toPrivate, long bytes) {}

    private Machine(MachineConfig config, Syscalls syscalls, CloseStack resources) {
        this.config = config;
        this.resources = resources;
        boolean confidential = config.coco() == Coco.SW_PROTECTED;
        RamLayout layout = config.memory().layout(HostMemory.totalBytes(syscalls));
        checkDenied(layout, config.conversions().policy().denied());
        Kvm system = resources.add(Kvm.open(syscalls));
        List<CpuidEntry> cpuid = system.supportedCpuid();
        this.vm = resources.add(createVm(system, confidential));
        this.memory = resources.add(GuestMemory.create(vm, layout, config.memory(), confidential));
        PvhLoader.Loaded image =
                PvhLoader.load(config.image(), new MemoryMap(layout), config.commandLine(), memory::shared);
        this.engine = new ConversionEngine(
                vm,
                memory,
                Waiting.PARK,
                config.conversions().policy(),
                config.conversions().refusals());
        if (confidential) {
            hideAllBut(image.ranges());
        }
        ConversionCounters counters = engine.counters();
        this.baseline = new Baseline(counters.toPrivate(), counters.bytes());

        PciHost pci = new PciHost();
        ports.add(Serial16550.COM1, Serial16550.PORTS, new Serial16550(config.console()));
        ports.add(DebugExit.PORT, DebugExit.PORTS, new DebugExit(this::guestExit));
        ports.add(PciHost.PORT, PciHost.PORTS, pci);
        DiscardRules discards = new DiscardRules();
        if (confidential && discards.hold(Rule.COORDINATED_REQUIRE, "private memory") instanceof Outcome.Refused no) {
            throw new MissingFeatureException(no.reason());
        }
        this.devices = resources.add(
                new AssignedDevices(syscalls, config.iommuMap(), memory, board(layout), pci, discards));
        config.devices().forEach(devices::add);
        this.checker = new InvariantChecker(
                memory, engine, devices, config.kernelView().orElse(null));
        for (int id = 0; id < config.cpus(); id++) {
            Vcpu vcpu = resources.add(vm.createVcpu(id));
            vcpu.setCpuid2(GuestCpuid.of(cpuid, id, config.cpus(), confidential));
            vcpus.add(vcpu);
        }
        PvhEntry.apply(vcpus.getFirst(), image);
    }

    /**
     * Builds a machine.
     *
     * @throws dev.alcove.sys.AlcoveException what is wrong; nothing is left behind
     */
    public static Machine create(Syscalls syscalls, MachineConfig config) {
        CloseStack resources = new CloseStack();
        try {
            return new Machine(config, syscalls, resources);
        } catch (RuntimeException | Error e) {
            try {
                resources.close();
            } catch (RuntimeException second) {
                e.addSuppressed(second);
            }
            throw e;
        }
    }

    private static void checkDenied(RamLayout layout, List<GpaRange> denied) {
        for (GpaRange range : denied) {
            if (layout.blocks().stream().noneMatch(range::overlaps)) {
                throw new BadInputException(
                        "no conversions of " + range + ": the guest has no RAM there, only at " + layout.blocks());
            }
        }
    }

    private static Vm createVm(Kvm system, boolean confidential) {
        int type = confidential ? kvm.KVM_X86_SW_PROTECTED_VM() : kvm.KVM_X86_DEFAULT_VM();
        if (!system.hasVmType(type)) {
            throw new MissingFeatureException(
                    "this KVM offers no private memory: it has no VM type KVM_X86_SW_PROTECTED_VM"
                            + " (KVM_CAP_VM_TYPES is 0x" + Integer.toHexString(system.vmTypes()) + ")",
                    "use --kernel emulated, or a kernel with CONFIG_KVM_SW_PROTECTED_VM on hardware virtualisation"
                            + " (VT-x or AMD-V) with EPT or NPT");
        }
        Vm created = system.createVm(type);
        try {
            created.splitIrqchip(InterruptRoutes.IOAPIC_PINS);
            if (confidential) {
                created.enableCap(kvm.KVM_CAP_EXIT_HYPERCALL(), 1L << KVM_HC_MAP_GPA_RANGE);
            }
            return created;
        } catch (RuntimeException e) {
            created.close();
            throw e;
        }
    }

    private Board board(RamLayout layout) {
        return new Board(vm, mmio, new InterruptRoutes(vm), new DeviceWindow(layout), memory.addressSpace());
    }

    /** Makes all RAM private, except for the pages of the image: nothing can be put into private memory from here. */
    private void hideAllBut(List<PvhLoader.Range> image) {
        for (GpaRange block : memory.layout().blocks()) {
            long from = block.start().value();
            for (PvhLoader.Range range : image) {
                if (range.address() < block.end() && range.end() > from) {
                    hide(from, range.address());
                    from = range.end();
                }
            }
            hide(from, block.end());
        }
    }

    private void hide(long from, long to) {
        if (from >= to) {
            return;
        }
        Outcome done = engine.convert(new ConversionRequest(GpaRange.of(from, to - from), true));
        if (done instanceof Outcome.Refused refused) {
            throw new MissingFeatureException("making the guest's memory private: " + refused.reason());
        } else if (done instanceof Outcome.Unsafe unsafe) {
            throw new MissingFeatureException("making the guest's memory private: " + unsafe.reason());
        }
    }

    private void guestExit(int value) {
        outcome.complete(
                value == DebugExit.SUCCESS
                        ? new VmOutcome.GuestSuccess()
                        : new VmOutcome.GuestFailure(
                                "the guest reported failure (value 0x" + Integer.toHexString(value)
                                        + " at the debug exit port)"));
    }

    /**
     * Runs the guest to its end, and then checks the invariants. Once only.
     *
     * @param timeout after which the guest is stopped
     */
    public VmOutcome run(Duration timeout) {
        Conversions conversions = new CheckedConversions(
                engine, checker, config.checkAlways(), config.conversions().prefault(), () -> !outcome.isDone());
        ExitHandler handler = new ExitHandler(ports, mmio, conversions);
        List<VcpuThread> threads = vcpus.stream()
                .map(vcpu -> new VcpuThread(vcpu, handler, outcome))
                .toList();
        threads.forEach(VcpuThread::start);
        try {
            outcome.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException _) {
            outcome.complete(new VmOutcome.TimedOut(timeout));
        } catch (InterruptedException _) {
            outcome.complete(new VmOutcome.GuestFailure("interrupted"));
            Thread.currentThread().interrupt();
        } catch (ExecutionException _) {
            // join() below throws it, after the threads have ended
        } finally {
            threads.forEach(VcpuThread::stop);
        }
        flushConsole();
        VmOutcome end = ended();
        List<String> violations = checker.check();
        return violations.isEmpty() || end instanceof VmOutcome.InvariantViolated
                ? end
                : new VmOutcome.InvariantViolated(String.join("; ", violations));
    }

    private VmOutcome ended() {
        try {
            return outcome.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof UncheckedIOException io) {
                return new VmOutcome.HostLacks(io.getMessage() + ": " + io.getCause());
            }
            throw e;
        }
    }

    private void flushConsole() {
        try {
            config.console().flush();
        } catch (IOException e) {
            throw new UncheckedIOException("the guest's serial output cannot be written", e);
        }
    }

    /** What the guest's memory is at this moment. */
    public RunReport.Memory memoryReport() {
        long privates = memory.privateBytes();
        MemoryUsage usage = memory.usage();
        return new RunReport.Memory(
                memory.bytes(),
                memory.bytes() - privates,
                privates,
                usage.residentShared(),
                usage.residentPrivate(),
                usage.pinned());
    }

    /** The guest's memory at a moment without a conversion. Any thread. */
    public MemorySample sample() {
        return engine.quiesced(() -> {
            List<MemorySample.Block> blocks = memory.blocks().stream()
                    .map(Machine::sample)
                    .toList();
            ConversionCounters counters = engine.counters();
            RangeSet mapped = devices.call(Machine::mapped);
            return new MemorySample(blocks, mapped, counters.toShared(), counters.toPrivate(), counters.failed());
        });
    }

    /** What any device can reach. */
    private static RangeSet mapped(List<VfioDmaMapper> mappers) {
        RangeSet all = new RangeSet();
        mappers.forEach(mapper -> mapper.mapped().forEach(0, Long.MAX_VALUE, all::add));
        return all;
    }

    private static MemorySample.Block sample(RamBlock block) {
        RangeSet shared = new RangeSet();
        shared.add(0, block.range().size());
        return new MemorySample.Block(
                block.range(), block.state().map(PopulatedRanges::snapshot).orElse(shared));
    }

    /** The conversions that the guest asked for so far. */
    public RunReport.Conversions conversionReport() {
        ConversionCounters counters = engine.counters();
        return new RunReport.Conversions(
                counters.toShared(),
                counters.toPrivate() - baseline.toPrivate(),
                counters.bytes() - baseline.bytes(),
                counters.failed());
    }

    /** What the IOMMU has cost so far. */
    public RunReport.Iommu iommuReport() {
        return devices.report();
    }

    /**
     * Gives the guest a device, also while it runs: it appears on the PCI bus, and reaches shared memory at once. The
     * guest is not told; it looks for itself. Any thread.
     *
     * @throws dev.alcove.sys.AlcoveException what is wrong; nothing is left behind
     */
    public void addDevice(PciAddress address) {
        devices.add(address);
    }

    /**
     * Takes a device from the guest, also while it runs and converts memory. Its DMA has ended when this returns, and
     * nothing follows the guest's memory for it any more. Any thread.
     *
     * @throws dev.alcove.sys.BadInputException the guest does not have it
     */
    public void removeDevice(PciAddress address) {
        devices.remove(address);
    }

    /** What a person should know of the devices before the guest runs: a line for each limit that is too low for it. */
    public List<String> forecasts() {
        return devices.call(mappers -> mappers.stream()
                .flatMap(mapper -> mapper.forecast().stream())
                .toList());
    }

    /** The devices that the guest has. */
    public List<PciAddress> devices() {
        return devices.list();
    }

    /** The checks so far. */
    public RunReport.Invariants invariantReport() {
        return new RunReport.Invariants(checker.checks(), checker.violations());
    }

    @Override
    public void close() {
        resources.close();
    }
}
