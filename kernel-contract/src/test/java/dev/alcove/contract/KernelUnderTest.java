// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.pci.nvme.MemoryStorage;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.kernel.task.Task;
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
    private static final List<KernelProfile> EMULATED =
            List.of(KernelProfile.linux6_12(), KernelProfile.linux6_18(), KernelProfile.linux7_2());

    /** Bytes of the NVMe namespace: as in the lab with nvme,size=64M. */
    private static final long NAMESPACE_SIZE = 64 << 20;

    private final String name;
    private final Syscalls syscalls;
    private final Supplier<List<String>> end;

    private KernelUnderTest(String name, Syscalls syscalls, Supplier<List<String>> end) {
        this.name = name;
        this.syscalls = syscalls;
        this.end = end;
    }

    /**
     * Each kernel, fresh, in turn. The system property {@code alcove.kernels} chooses: names or first words of names,
     * with commas between, such as {@code emulated} or {@code host,emulated 6.12}; in the lab its kernel is {@code host} too.
     */
    static Stream<KernelUnderTest> all() {
        return Stream.concat(
                EMULATED.stream().filter(profile -> chosen(emulatedName(profile))).map(KernelUnderTest::emulated),
                Stream.of("host").filter(KernelUnderTest::chosen).map(real -> host()));
    }

    /** As {@link #all}, with processes of root's that lack CAP_IPC_LOCK; the real kernel's is as it is. */
    static Stream<KernelUnderTest> withoutIpcLock() {
        return Stream.concat(
                EMULATED.stream()
                        .filter(profile -> chosen(emulatedName(profile)))
                        .map(profile -> emulated(profile, new Credentials(0, ~(1L << Task.CAP_IPC_LOCK)))),
                Stream.of("host").filter(KernelUnderTest::chosen).map(real -> host()));
    }

    /** What the kernels are called in reports. */
    public static Stream<String> names() {
        return Stream.concat(EMULATED.stream().map(KernelUnderTest::emulatedName), Stream.of(realName()));
    }

    /** Whether the real kernel is to be tested, and not only emulated ones. */
    public static boolean realChosen() {
        return chosen("host");
    }

    /** What the real kernel under this process is called: {@code host}, or in the lab {@code lab} with its release. */
    public static String realName() {
        return "1".equals(System.getenv("ALCOVE_IN_LAB")) ? "lab " + majorMinor(System.getProperty("os.version")) : "host";
    }

    private static String emulatedName(KernelProfile profile) {
        return "emulated " + majorMinor(profile.release());
    }

    private static String majorMinor(String release) {
        return release.replaceFirst("^(\\d+\\.\\d+).*", "$1");
    }

    private static boolean chosen(String name) {
        return Stream.of(System.getProperty("alcove.kernels", "emulated,host").split(","))
                .anyMatch(wanted -> name.equals(wanted) || name.startsWith(wanted + " "));
    }

    /** The kernel that is really under this process; skips the test when it is not chosen. */
    static KernelUnderTest host() {
        assumeTrue(chosen("host"), "the real kernel is not chosen");
        return new KernelUnderTest(realName(), new HostSyscalls(), List::of);
    }

    /** A fresh emulated machine of the release that the real kernel has, or of the next older one that there is. */
    static KernelUnderTest emulatedLikeReal() {
        try (KernelUnderTest real = host()) {
            return emulated(EMULATED.reversed().stream()
                    .filter(profile -> {
                        String[] release = majorMinor(profile.release()).split("\\.", -1);
                        return !KvmMachine.before(real.sys(), Integer.parseInt(release[0]), Integer.parseInt(release[1]));
                    })
                    .findFirst().orElse(EMULATED.getFirst()));
        }
    }

    /** A fresh emulated machine with one process of root's. */
    static KernelUnderTest emulated(KernelProfile profile) {
        return emulated(profile, Credentials.root());
    }

    private static KernelUnderTest emulated(KernelProfile profile, Credentials credentials) {
        EmulatedKernel kernel = new EmulatedKernel(profile, new HostSyscalls());
        kernel.enableIommufdTest();
        kernel.vfioPci().addEdu(new PciAddress(0, 0, 4, 0), 28);
        // Two more below a bridge, where they can be reset together.
        kernel.vfioPci().addEdu(new PciAddress(0, 1, 1, 0), 28);
        kernel.vfioPci().addEdu(new PciAddress(0, 1, 2, 0), 28);
        kernel.vfioPci().addNvme(new PciAddress(0, 0, 5, 0), new MemoryStorage(NAMESPACE_SIZE));
        EmulatedProcess process = kernel.process(credentials);
        return new KernelUnderTest(emulatedName(profile), FailNth.isOn() ? FailNth.on(kernel, process) : process, () -> {
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
