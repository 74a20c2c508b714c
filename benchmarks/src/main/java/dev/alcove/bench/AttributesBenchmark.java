// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** KVM_SET_MEMORY_ATTRIBUTES and a punch of the guest_memfd, of a page that is not touched: pairs a second. */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
        value = 1, // the collector is the alcove command's
        jvmArgsAppend = {"-XX:+UseSerialGC", "-XX:+UseCondCardMark", "-XX:InitialRAMPercentage=5", "-XX:NewRatio=1"})
@SuppressWarnings("NullAway.Init") // JMH calls start() before anything else
public class AttributesBenchmark {
    private static final long MEMORY = 64 << 20;
    private static final long PRIVATE = 8;

    private EmulatedKernel kernel;
    private EmulatedProcess process;
    private Kvm system;
    private Vm vm;
    private GuestMemfd file;
    private long next;
    private long attributes;

    @Setup(Level.Trial)
    public void start() {
        kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
        process = kernel.process();
        system = Kvm.open(process);
        vm = system.createVm(kvm.KVM_X86_SW_PROTECTED_VM());
        file = vm.createGuestMemfd(MEMORY, 0);
    }

    @TearDown(Level.Trial)
    public void stop() {
        file.close();
        vm.close();
        system.close();
        process.close();
        kernel.close();
    }

    @Benchmark
    public void page() {
        if (next == 0) {
            attributes ^= PRIVATE;
        }
        vm.setMemoryAttributes(next, Linux.PAGE_SIZE, attributes);
        file.punchHole(next, Linux.PAGE_SIZE);
        next = (next + Linux.PAGE_SIZE) % MEMORY;
    }
}
