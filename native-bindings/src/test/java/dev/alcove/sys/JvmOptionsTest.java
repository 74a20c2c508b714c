// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** The options in {@code jvm.options} do what they are there for. */
class JvmOptionsTest {
    /** In JVMs of their own, as what C2 makes of a method depends on all that ran before; without the option 18 of 20 fail. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void aStructArrivesWhole(long seed) throws Exception {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Process process = new ProcessBuilder(
                        java.toString(),
                        "@" + options(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        StructCopies.class.getName(),
                        Long.toString(seed))
                .redirectErrorStream(true)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, process.waitFor(), said);
    }

    /** The file lies at the top of the sources, above the module where Maven runs the test. */
    private static Path options() {
        return Stream.iterate(Path.of("").toAbsolutePath(), Objects::nonNull, Path::getParent)
                .map(folder -> folder.resolve("jvm.options"))
                .filter(Files::exists)
                .findFirst()
                .orElseThrow();
    }
}
