// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/**
 * A kernel that a contract test runs on. A test must not ask which one it is: what a kernel lacks is skipped by what
 * it answers ({@link #open}), so that the host judges the emulated one wherever it can.
 *
 * <p>JUnit closes it after each test; the emulated kernel must then have nothing left.
 */
public final class KernelUnderTest implements AutoCloseable {
    private final String name;
    private final Syscalls syscalls;
    private final Supplier<List<String>> end;

    private KernelUnderTest(String name, Syscalls syscalls, Supplier<List<String>> end) {
        this.name = name;
        this.syscalls = syscalls;
        this.end = end;
    }

    /** Each kernel, fresh. */
    static Stream<KernelUnderTest> all() {
        return Stream.<Supplier<KernelUnderTest>>of(KernelUnderTest::host, () -> emulated(KernelProfile.linux7_2()))
                .map(Supplier::get);
    }

    /** The host's kernel. */
    static KernelUnderTest host() {
        return new KernelUnderTest("host", new HostSyscalls(), List::of);
    }

    /** A fresh emulated machine with one process of root's. */
    static KernelUnderTest emulated(KernelProfile profile) {
        EmulatedKernel kernel = new EmulatedKernel(profile, new HostSyscalls());
        kernel.vfioPci().addEdu(new PciAddress(0, 0, 4, 0), 28);
        EmulatedProcess process = kernel.process();
        return new KernelUnderTest("emulated " + profile.release(), process, () -> {
            process.close();
            List<String> leaks = kernel.leaks();
            kernel.close();
            return leaks;
        });
    }

    /** The calls under test. */
    public Syscalls sys() {
        return syscalls;
    }

    /** Opens a device, read and write; skips the test with the reason where the kernel has none or refuses. */
    public int open(String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            abort(name + " has no usable " + path + ": " + Errno.name(fd));
        }
        return fd;
    }

    /** Skips the test when a feature is missing: {@code answer} is that of a call that only fails without it. */
    public void needs(String feature, long answer) {
        assumeTrue(!Linux.isError(answer), () -> name + " lacks " + feature + ": " + Errno.name(answer));
    }

    @Override
    public void close() {
        assertEquals(List.of(), end.get(), name + ": what is left when its only process has ended");
    }

    @Override
    public String toString() {
        return name;
    }
}
