// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What the seam costs: an ioctl that does next to nothing in the kernel, through {@link HostSyscalls}. The same loop in
 * C is {@code src/main/c/null_ioctl.c}; the script {@code null-ioctl} runs both and prints the ratio.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class NullIoctlBenchmark {
    private static final int KVM_CHECK_EXTENSION = 0xae03;
    private static final long KVM_CAP_USER_MEMORY = 3;
    private static final int TCGETS = 0x5401;

    /** {@code kvm}: KVM_CHECK_EXTENSION, which answers 1; {@code eventfd}: TCGETS, which answers ENOTTY. */
    @Param({"kvm", "eventfd"})
    public String file = "";

    private final Syscalls syscalls = new HostSyscalls();
    private final MemorySegment argument = Arena.ofAuto().allocate(64);
    private int fd;
    private boolean kvm;

    @Setup
    public void open() {
        kvm = file.equals("kvm");
        fd = SyscallException.check(
                kvm
                        ? syscalls.open("/dev/kvm", Linux.O_RDWR | Linux.O_CLOEXEC, 0)
                        : syscalls.eventfd(0, Linux.EFD_CLOEXEC),
                "open",
                file);
    }

    @TearDown
    public void close() {
        syscalls.close(fd);
    }

    @Benchmark
    public int ioctl() {
        int answer = kvm
                ? syscalls.ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY)
                : syscalls.ioctl(fd, TCGETS, argument);
        if (kvm ? answer <= 0 : answer != -Errno.ENOTTY) {
            throw new IllegalStateException("ioctl answers " + answer);
        }
        return answer;
    }
}
