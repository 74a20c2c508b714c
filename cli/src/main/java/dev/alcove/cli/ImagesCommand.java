// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code alcove images}: the built-in images, one line each. */
@Command(name = "images", mixinStandardHelpOptions = true, description = "Lists the built-in images.")
final class ImagesCommand implements Callable<Integer> {
    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Override
    public Integer call() {
        List<TestVmImage> images = TestVmImage.all();
        int width = images.stream().mapToInt(i -> i.name().length()).max().orElse(0);
        PrintWriter out = java.util.Objects.requireNonNull(spec).commandLine().getOut();
        for (TestVmImage image : images) {
            out.println(image.name() + " ".repeat(width + 2 - image.name().length()) + image.description());
        }
        out.flush();
        return 0;
    }
}
