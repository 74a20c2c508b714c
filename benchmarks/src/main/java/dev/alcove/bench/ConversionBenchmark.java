// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.vfio.CutStrategy;
import dev.alcove.vfio.MapStrategy;
import dev.alcove.vfio.PageStrategy;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.conversion.ConversionRequest;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Threads;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Conversions per second on the emulated kernel, with a device attached: IOMMU unmap and map, attributes, state, and
 * freeing the other side. The pages are not touched between two conversions.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 10, time = 1)
@Measurement(iterations = 10, time = 1)
@Fork(
        value = 1, // the collector is the alcove command's
        jvmArgsAppend = {"-XX:+UseSerialGC", "-XX:+UseCondCardMark", "-XX:InitialRAMPercentage=5", "-XX:NewRatio=1"})
@SuppressWarnings("NullAway.Init") // JMH calls start() before anything else
public class ConversionBenchmark {
    private static final long MEMORY = 64 << 20;
    private static final int VCPUS = 2;

    /** How shared memory is mapped for devices. */
    @Param({"cut", "page"})
    public String strategy = "";

    /** Bytes of a conversion: one page, and 2 MiB. */
    @Param({"4096", "2097152"})
    public long bytes;

    /** RAM blocks, as of the nodes of a NUMA machine; each vCPU's memory is in one. */
    @Param({"1", "2"})
    public int blocks = 1;

    private EmulatedKernel kernel;
    private EmulatedProcess process;
    private Kvm system;
    private Vm vm;
    private GuestMemory memory;
    private IommuFd iommu;
    private VfioDmaMapper mapper;
    private IommufdContext context;
    private long deviceId;
    private ConversionEngine engine;
    private final AtomicInteger vcpus = new AtomicInteger();

    /** A vCPU: half of the memory is its own. */
    @State(Scope.Thread)
    public static class Vcpu {
        /** Where {@link #next} is; away from what lies around it, which may be that of another vCPU. */
        private static final int NEXT = 16;

        private long start;
        private final long[] next = new long[2 * NEXT + 1];

        @Setup(Level.Trial)
        public void start(ConversionBenchmark vm) {
            start = vm.vcpus.getAndIncrement() % VCPUS * (MEMORY / VCPUS);
        }
    }

    @Setup(Level.Trial)
    public void start() {
        kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
        process = kernel.process();
        system = Kvm.open(process);
        vm = system.createVm(kvm.KVM_X86_SW_PROTECTED_VM());
        long size = MEMORY / blocks;
        RamLayout layout = new RamLayout(LongStream.range(0, blocks)
                .mapToObj(block -> GpaRange.of(block * size, size))
                .toList());
        memory = GuestMemory.create(vm, layout, true);
        engine = new ConversionEngine(vm, memory);
        iommu = IommuFd.open(process);
        Ioas ioas = iommu.ioasAlloc();
        MapStrategy mapping = strategy.equals("cut") ? CutStrategy.prepare(ioas) : new PageStrategy(ioas);
        IommuDevice device = kernel.iommu().newGroup().addDevice(0x10);
        context = kernel.iommufd().contexts().getFirst();
        deviceId = context.bindDevice(device);
        if (context.attach(deviceId, 0, ioas.id()) < 0) {
            throw new IllegalStateException("the device cannot be attached");
        }
        mapper = new VfioDmaMapper(mapping);
        for (RamBlock block : memory.blocks()) {
            check(mapper.add(
                    block.discards(), new Iova(block.range().start().value()), block.hva()));
        }
    }

    @TearDown(Level.Trial)
    public void stop() {
        mapper.close();
        context.detach(deviceId, 0);
        context.unbind(deviceId);
        iommu.close();
        memory.close();
        vm.close();
        system.close();
        process.close();
        kernel.close();
    }

    /** To private and back, each time somewhere else. */
    @Benchmark
    @OperationsPerInvocation(2)
    public void convert(Vcpu vcpu) {
        GpaRange range = GpaRange.of(vcpu.start + vcpu.next[Vcpu.NEXT], bytes);
        vcpu.next[Vcpu.NEXT] = (vcpu.next[Vcpu.NEXT] + bytes) % (MEMORY / VCPUS);
        check(engine.convert(new ConversionRequest(range, true)));
        check(engine.convert(new ConversionRequest(range, false)));
    }

    /** The same on two threads: other pages of the same block, in the same I/O address space. */
    @Benchmark
    @OperationsPerInvocation(2)
    @Threads(VCPUS)
    public void convertOnTwo(Vcpu vcpu) {
        convert(vcpu);
    }

    private static void check(Outcome outcome) {
        if (!outcome.isDone()) {
            throw new IllegalStateException(outcome.toString());
        }
    }
}
