// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.supervisor.Supervisor;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/**
 * QEMU as it is, with {@code -accel kvm}, on the KVM of an emulated kernel: its firmware and a test guest run on the
 * emulated processor, its memory is the program's own.
 */
@Timeout(value = 300, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class QemuOnEmulatedKernelTest {
    private static final Path QEMU = Path.of("/usr/bin/qemu-system-x86_64");
    private static final Path SHELL = Path.of("/bin/sh");
    /** What QEMU makes of 0x10 at its exit port. */
    private static final int SUCCESS = 33;

    @TempDir
    private Path folder = Path.of(".");

    private final List<String> troubles = new ArrayList<>();

    @ParameterizedTest
    @CsvSource({
        "microvm, split, hello",
        "q35, split, hello",
        "microvm, off, convert",
    })
    void runsATestGuest(String machine, String irqchip, String image) throws IOException, InterruptedException {
        assumeTrue(Files.isExecutable(QEMU), "qemu-system-x86 is not there: test-vm-images/install-qemu");
        assumeTrue("Linux amd64".equals(System.getProperty("os.name") + " " + System.getProperty("os.arch")));
        TestVmImage guest = TestVmImage.find(image).orElseThrow();
        Path elf = Files.write(folder.resolve(image + ".elf"), guest.elf());
        Path output = folder.resolve("output.txt");
        String command = "exec " + QEMU + " -accel kvm -machine " + machine + ",kernel-irqchip=" + irqchip
                + " -m 64 -nodefaults -display none -monitor none -serial stdio -no-reboot"
                + " -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel " + elf + " > " + output + " 2> "
                + folder.resolve("warnings.txt") + " < /dev/null";
        try (EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls())) {
            int status = new Supervisor(kernel, troubles::add)
                    .run(SHELL, List.of("sh", "-c", command), List.of("PATH=" + System.getenv("PATH")));
            assertEquals(guest.plainOutput(), Files.readString(output), Files.readString(folder.resolve("warnings.txt")));
            assertEquals(SUCCESS, status);
            assertEquals(List.of(), troubles);
            assertEquals(List.of(), kernel.leaks());
        } catch (MissingFeatureException missing) {
            assumeTrue(false, missing.getMessage());
        }
    }
}
