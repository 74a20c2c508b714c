// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** The outside reference: an image prints under QEMU, which has no page conversions, what it has to print. */
class QemuTest {
    private static final String QEMU = "qemu-system-x86_64";
    private static final int SUCCESS = 0x10 << 1 | 1;
    private static final int FAILURE = 0x11 << 1 | 1;

    @TempDir
    private Path directory = Path.of("");

    @BeforeAll
    static void qemuIsThere() {
        assumeTrue(
                HostTool.exists(QEMU),
                QEMU + " is missing (Debian: package qemu-system-x86, or run test-vm-images/install-qemu)");
    }

    static Stream<TestVmImage> images() {
        return TestVmImage.all().stream();
    }

    @ParameterizedTest
    @MethodSource("images")
    void printsWhatItShould(TestVmImage image) throws Exception {
        HostTool.Result result = run(image.name(), "-device", "edu");

        assertEquals(image.plainOutput(), result.output());
        assertEquals(SUCCESS, result.status());
    }

    @Test
    void stormRunsOnThreeCpus() throws Exception {
        HostTool.Result result = run("storm", "-smp", "3", "-append", "seed=7 cpus=3 ops=3000");

        assertEquals("no page conversions here\nstorm: seed 7, 0 conversions, 0 transfers, ok\n", result.output());
        assertEquals(SUCCESS, result.status());
    }

    @Test
    void dmaFailsWithoutADevice() throws Exception {
        assertEquals(new HostTool.Result(FAILURE, "no edu device\n"), run("dma"));
    }

    @Test
    void aBadCommandLineIsAFailure() throws Exception {
        assertEquals(
                new HostTool.Result(FAILURE, "command line: ops= wants a number\n"),
                run("storm", "-append", "seed=0x1f ops=12y"));
    }

    @Test
    void aRegionThatDoesNotFitIsAFailure() throws Exception {
        assertEquals(
                new HostTool.Result(FAILURE, "convert: pages=4096 does not fit in RAM from 16 MiB on\n"),
                run("convert", "-m", "32M", "-append", "pages=4096"));
    }

    private HostTool.Result run(String image, String... options) throws Exception {
        Path elf = directory.resolve(image + ".elf");
        Files.write(elf, TestVmImage.find(image).orElseThrow().elf());
        // No display: with -nographic the firmware would write its banner to the serial line.
        List<String> command = Stream.concat(
                        Stream.of(QEMU, "-accel", "tcg", "-display", "none", "-monitor", "none", "-serial", "stdio",
                                "-no-reboot", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
                                "-kernel", elf.toString()),
                        Stream.of(options))
                .toList();
        return HostTool.run(directory.resolve("serial.txt"), 60, command);
    }
}
