// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.kvm.GuestSteps;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Regs;
import dev.alcove.kvm.SegmentRegister;
import dev.alcove.kvm.Sregs;
import dev.alcove.kvm.Vcpu;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.conversion.ConversionRequest;
import dev.alcove.vmm.conversion.InvariantChecker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * The small machine of a {@link Storm}: an emulated kernel of its own, one process, memory, vCPUs with their programs
 * loaded, and ports for two devices, the first of which is plugged in. It is built and taken down without steps.
 */
final class StormMachine implements AutoCloseable {
    private static final int SW_PROTECTED_VM = 1;
    private static final int MAP_GPA_RANGE = 12;
    /** 128 MiB, of which almost nothing is touched. */
    private static final long FRAMES = 1 << 15;

    private static final int PORTS = 2;
    private static final Predicate<FaultInjectingSyscalls.Call> CONVERSIONS =
            FaultInjectingSyscalls.Call.ioctl(kvm.KVM_SET_MEMORY_ATTRIBUTES())
                    .or(FaultInjectingSyscalls.Call.ioctl(iommufd.IOMMU_IOAS_MAP()))
                    .or(FaultInjectingSyscalls.Call.ioctl(iommufd.IOMMU_IOAS_MAP_FILE()))
                    .or(FaultInjectingSyscalls.Call.ioctl(iommufd.IOMMU_IOAS_UNMAP()))
                    .or(FaultInjectingSyscalls.Call.ioctl(vfio.VFIO_IOMMU_UNMAP_DMA()))
                    .or(FaultInjectingSyscalls.Call.named("fallocate"));

    private final Storm storm;
    private final EmulatedKernel kernel;
    private final EmulatedProcess process;
    private final FailurePoint failure;
    private final Syscalls syscalls;
    private final CallText text = new CallText();
    private final Deque<AutoCloseable> resources = new ArrayDeque<>();
    private final Vm vm;
    private final GuestMemory memory;
    private final ConversionEngine engine;
    private final List<Port> ports = new ArrayList<>();
    private final List<Vcpu> vcpus = new ArrayList<>();
    private final List<GuestCode> codes = new ArrayList<>();

    StormMachine(Storm storm, KernelProfile profile, Parts parts, Scheduler scheduler, GuestSteps steps) {
        this.storm = storm;
        failure = new FailurePoint(storm.fault(), scheduler);
        kernel = new EmulatedKernel(profile, new HostSyscalls(), FRAMES, what -> !failure.strikes(true, what));
        try {
            kernel.kvm().observe(steps);
            parts.prepare(kernel);
            process = kernel.process();
            FaultInjectingSyscalls faults = new FaultInjectingSyscalls(process);
            faults.failNth(call -> CONVERSIONS.test(call) && failure.strikes(false, call.name()), 1, Errno.ENOMEM);
            syscalls = parts.syscalls(SteppedSyscalls.of(faults, scheduler, text));
            vm = own(own(Kvm.open(syscalls)).createVm(SW_PROTECTED_VM));
            vm.enableCap(kvm.KVM_CAP_EXIT_HYPERCALL(), 1L << MAP_GPA_RANGE);
            RamLayout layout = new RamLayout(storm.layout().blocks());
            memory = own(GuestMemory.create(
                    vm,
                    layout,
                    MemoryConfig.of(layout.bytes()),
                    true,
                    condition -> scheduler.until(condition, "the discard manager of a block")));
            text.knows(memory);
            engine = parts.engine(vm, memory, condition -> scheduler.until(condition, "a range that another one converts"));
            load();
            convertAtStart();
            for (int number = 0; number < PORTS; number++) {
                ports.add(new Port(number, kernel));
            }
            plug(0, _ -> {});
            for (int cpu = 0; cpu < codes.size(); cpu++) {
                vcpus.add(own(vm.createVcpu(cpu)));
                enter(vcpus.getLast(), codes.get(cpu).origin());
            }
        } catch (RuntimeException | Error failure) {
            kernel.close();
            throw failure;
        }
    }

    private <T extends AutoCloseable> T own(T resource) {
        resources.push(resource);
        return resource;
    }

    private void load() {
        int each = Layout.CODE_PAGES * Layout.PAGE / storm.layout().cpus();
        for (int cpu = 0; cpu < storm.layout().cpus(); cpu++) {
            GuestCode code = new GuestCode(cpu, cpu * each, storm.vcpus().get(cpu).ops());
            byte[] bytes = code.bytes();
            if (bytes.length > each) {
                throw new IllegalArgumentException("the program of vCPU " + cpu + " has " + bytes.length + " bytes");
            }
            memory.shared(code.origin(), bytes.length).copyFrom(MemorySegment.ofArray(bytes));
            codes.add(code);
        }
        for (int page : storm.layout().still()) {
            memory.shared((long) page * Layout.PAGE, Integer.BYTES)
                    .set(ValueLayout.JAVA_INT, 0, page * Ledger.PATTERN);
        }
    }

    private void convertAtStart() {
        for (int page = 0; page < storm.layout().pages(); page++) {
            if ((storm.privateAtStart() >>> page & 1) != 0) {
                Outcome outcome = engine.convert(
                        new ConversionRequest(GpaRange.of((long) page * Layout.PAGE, Layout.PAGE), true));
                if (!outcome.isDone()) {
                    throw new InvariantException("private at the start: " + outcome);
                }
            }
        }
    }

    /** Flat 32-bit protected mode, without paging. */
    private static void enter(Vcpu vcpu, long entry) {
        Sregs sregs = vcpu.getSregs();
        SegmentRegister data = SegmentRegister.flatData32(0x10);
        sregs.cs(SegmentRegister.flatCode32(8));
        sregs.ds(data);
        sregs.es(data);
        sregs.fs(data);
        sregs.gs(data);
        sregs.ss(data);
        sregs.tr(SegmentRegister.busyTss(0x18, 0, 0x67));
        sregs.cr0(0x11);
        vcpu.setSregs(sregs);
        Regs regs = new Regs();
        regs.rip(entry);
        regs.rflags(2);
        vcpu.setRegs(regs);
    }

    /** What fails. */
    FailurePoint failure() {
        return failure;
    }

    EmulatedKernel kernel() {
        return kernel;
    }

    GuestMemory memory() {
        return memory;
    }

    ConversionEngine engine() {
        return engine;
    }

    List<Vcpu> vcpus() {
        return List.copyOf(vcpus);
    }

    GuestCode code(int cpu) {
        return codes.get(cpu);
    }

    List<Port> ports() {
        return List.copyOf(ports);
    }

    void plug(int number, Consumer<String> note) {
        ports.get(number).plug(syscalls, storm.strategy(), memory, note);
    }

    /** Checks everything while nobody runs; the answer is what is wrong. */
    List<String> check() {
        List<VfioDmaMapper> mappers =
                ports.stream().map(Port::mapper).filter(Objects::nonNull).toList();
        return new InvariantChecker(memory, engine, mappers, new EmulatedView(kernel)).check();
    }

    /** Takes the machine down as a VMM does; the answer is what is left of it. */
    List<String> takeDown() {
        RuntimeException first = null;
        for (Port port : ports.reversed()) {
            resources.push(port::unplug);
        }
        while (!resources.isEmpty()) {
            try {
                resources.pop().close();
            } catch (RuntimeException failure) {
                first = first == null ? failure : first;
            } catch (Exception failure) {
                throw new AssertionError("closing", failure);
            }
        }
        List<String> left = new ArrayList<>();
        if (first != null) {
            left.add(first.toString());
        }
        if (process.openFiles() > 0) {
            left.add(process.openFiles() + " open files");
        }
        if (process.chargedPages() > 0) {
            left.add(process.chargedPages() + " pages charged to RLIMIT_MEMLOCK");
        }
        process.close();
        left.addAll(kernel.leaks());
        return left;
    }

    @Override
    public void close() {
        kernel.close();
    }
}
