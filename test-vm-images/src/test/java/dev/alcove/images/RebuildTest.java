// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** The committed images are what the committed sources give. */
class RebuildTest {
    @Test
    void theSameToolsGiveTheSameBytes(@TempDir Path directory) throws Exception {
        assumeTrue(HostTool.exists("gcc"), "gcc is missing (Debian: package gcc)");
        assumeTrue(HostTool.exists("ld"), "ld is missing (Debian: package binutils)");
        String recorded = new String(TestVmImage.resource("toolchain.txt"), StandardCharsets.UTF_8);
        String here = firstLine(directory, "gcc") + "\n" + firstLine(directory, "ld") + "\n";
        assumeTrue(recorded.equals(here), "the images were built with other tools:\n" + recorded + "here:\n" + here);

        Path built = directory.resolve("built");
        HostTool.Result result =
                HostTool.run(directory.resolve("build.log"), 120, List.of("bash", "build", built.toString()));

        assertEquals(0, result.status(), result.output());
        for (TestVmImage image : TestVmImage.all()) {
            assertArrayEquals(
                    image.elf(),
                    Files.readAllBytes(built.resolve(image.name() + ".elf")),
                    image.name() + ".elf is not what its sources give: run test-vm-images/build and commit");
        }
    }

    private static String firstLine(Path directory, String tool) throws IOException, InterruptedException {
        return HostTool.run(directory.resolve(tool + ".version"), 30, List.of(tool, "--version"))
                .output()
                .lines()
                .findFirst()
                .orElse("");
    }
}
