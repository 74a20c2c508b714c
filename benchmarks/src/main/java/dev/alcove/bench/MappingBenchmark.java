// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Threads;
import org.openjdk.jmh.annotations.Warmup;

/** IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP on the emulated kernel: pairs a second. */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
        value = 1, // the collector is the alcove command's
        jvmArgsAppend = {"-XX:+UseSerialGC", "-XX:+UseCondCardMark", "-XX:InitialRAMPercentage=5", "-XX:NewRatio=1"})
@SuppressWarnings("NullAway.Init") // JMH calls start() before anything else
public class MappingBenchmark {
    private static final long GIB = 1 << 30;

    /** One machine for all threads. */
    @State(Scope.Benchmark)
    public static class Machine {
        private EmulatedKernel kernel;
        private EmulatedProcess process;

        @Setup(Level.Trial)
        public void start() {
            kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
            process = kernel.process();
        }

        @TearDown(Level.Trial)
        public void stop() {
            process.close();
            kernel.close();
        }
    }

    /** An address space of a thread's own, in a context of its own, and memory that is all touched. */
    @State(Scope.Thread)
    public static class Space {
        /** Whether a device is attached, so that memory is pinned and translated. */
        @Param({"false", "true"})
        public boolean domain;

        private IommuFd iommu;
        private Ioas ioas;
        private IommufdContext context;
        private long device;
        private long memory;
        private EmulatedProcess process;

        @Setup(Level.Trial)
        public void start(Machine machine) {
            process = machine.process;
            synchronized (machine) {
                iommu = IommuFd.open(process);
                context = machine.kernel.iommufd().contexts().getLast();
            }
            ioas = iommu.ioasAlloc();
            if (domain) {
                device = context.bindDevice(machine.kernel.iommu().newGroup().addDevice(0x10));
                if (context.attach(device, 0, ioas.id()) < 0) {
                    throw new IllegalStateException("the device cannot be attached");
                }
            }
            memory = process.mmap(
                    0, GIB, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
            UserMappings.segment(memory, GIB).fill((byte) 1);
        }

        @TearDown(Level.Trial)
        public void stop() {
            if (domain) {
                context.detach(device, 0);
                context.unbind(device);
            }
            iommu.close();
            process.munmap(memory, GIB);
        }

        private void pair(long length) {
            ioas.map(memory, GIB, length, Ioas.READ | Ioas.WRITE);
            ioas.unmap(GIB, length);
        }
    }

    @Benchmark
    public void page(Space space) {
        space.pair(Linux.PAGE_SIZE);
    }

    @Benchmark
    @Threads(2)
    public void pageOnTwoThreads(Space space) {
        space.pair(Linux.PAGE_SIZE);
    }

    /** Map and unmap of 1 GiB. */
    @Benchmark
    public void gibibyte(Space space) {
        space.pair(GIB);
    }
}
