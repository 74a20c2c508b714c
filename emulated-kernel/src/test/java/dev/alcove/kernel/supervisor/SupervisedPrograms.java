// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** Runs programs of other languages on an emulated kernel: their sources are in src/test/c and src/test/python. */
abstract class SupervisedPrograms {
    private static final Path SHELL = Path.of("/bin/sh");

    @TempDir
    protected static Path folder = Path.of(".");

    protected final List<String> troubles = new ArrayList<>();

    /** Linux and architecture, as far as a supervised program needs them. */
    @BeforeAll
    static void needsLinux() {
        assumeTrue("Linux amd64".equals(System.getProperty("os.name") + " " + System.getProperty("os.arch")));
    }

    protected static Path source(String name) {
        Path inModule = Path.of("src/test", name);
        return Files.exists(inModule) ? inModule : Path.of("emulated-kernel").resolve(inModule);
    }

    protected static Path compiled(String name) throws IOException, InterruptedException {
        Path program = folder.resolve(name);
        if (!Files.exists(program)) {
            Process compiler;
            try {
                compiler = new ProcessBuilder(
                                "gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program.toString(),
                                source("c/" + name + ".c").toString())
                        .inheritIO()
                        .start();
            } catch (IOException e) {
                assumeTrue(false, "gcc is not there");
                throw e;
            }
            assertEquals(0, compiler.waitFor(), "gcc");
        }
        return program;
    }

    protected int run(String command, Path output) throws InterruptedException {
        return run(command, output, kernel -> {});
    }

    /** Runs a shell command; what it prints goes to a file, as this process's own output is not ours. */
    protected int run(String command, Path output, Consumer<EmulatedKernel> prepare) throws InterruptedException {
        return run(command, output, prepare, supervisor -> {});
    }

    /** As {@link #run(String, Path, Consumer)}, with a supervisor that is set up. */
    protected int run(
            String command, Path output, Consumer<EmulatedKernel> prepare, Consumer<Supervisor> options)
            throws InterruptedException {
        String line = "exec > " + output + " 2>&1; " + command;
        try (EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls())) {
            kernel.vfioPci().addEdu(new PciAddress(0, 0, 4, 0), 28);
            kernel.memory().hugePools().ordinary().resize(8);
            prepare.accept(kernel);
            Supervisor supervisor = new Supervisor(kernel, troubles::add);
            options.accept(supervisor);
            long descriptors = descriptors();
            int status = supervisor.run(SHELL, List.of("sh", "-c", line), List.of("PATH=" + System.getenv("PATH")));
            assertEquals(List.of(), troubles);
            assertEquals(List.of(), kernel.kvm().troubles());
            assertEquals(List.of(), kernel.leaks());
            assertEquals(descriptors, descriptors());
            return status;
        } catch (MissingFeatureException missing) {
            assumeTrue(false, missing.getMessage());
            throw missing;
        }
    }

    /** How many descriptors this process has open. */
    private static long descriptors() {
        try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
            return open.count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    protected void succeeds(String command) throws IOException, InterruptedException {
        Path output = Files.createTempFile(folder, "output", ".txt");
        int status = run(command, output);
        assertEquals("status 0\n", "status " + status + "\n" + Files.readString(output));
    }
}
