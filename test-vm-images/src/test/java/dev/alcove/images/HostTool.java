// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Programs of the host that a test runs. */
final class HostTool {
    /** What a program printed on both streams, and its exit status. */
    record Result(int status, String output) {}

    private HostTool() {}

    /** True if PATH has an executable of this name. */
    static boolean exists(String program) {
        String path = System.getenv("PATH");
        if (path == null) {
            return false;
        }
        for (String directory : path.split(File.pathSeparator, -1)) {
            if (!directory.isEmpty() && Files.isExecutable(Path.of(directory, program))) {
                return true;
            }
        }
        return false;
    }

    /** Runs a program to its end, which must come within seconds; the output file is kept for a person. */
    static Result run(Path outputFile, int seconds, List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectInput(new File("/dev/null"))
                .redirectOutput(outputFile.toFile())
                .start();
        try {
            if (!process.waitFor(seconds, TimeUnit.SECONDS)) {
                throw new AssertionError(String.join(" ", command) + ": not finished in " + seconds + " s, output so far:\n"
                        + Files.readString(outputFile, StandardCharsets.ISO_8859_1));
            }
        } finally {
            process.destroyForcibly();
        }
        return new Result(process.exitValue(), Files.readString(outputFile, StandardCharsets.ISO_8859_1));
    }
}
