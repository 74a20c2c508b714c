// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.sys.BadInputException;
import dev.alcove.vmm.loader.PvhImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Collectors;

/** Finds the image that a user names. */
final class GuestImage {
    private static final long LARGEST = 1L << 30;

    private GuestImage() {}

    /**
     * Loads a built-in image by its name, or an ELF file by its path. Something with a slash is always a path.
     *
     * @throws BadInputException there is no such image, or it is not one
     */
    static PvhImage load(String nameOrPath) {
        Optional<TestVmImage> builtIn = TestVmImage.find(nameOrPath);
        return PvhImage.parse(builtIn.isPresent() ? builtIn.get().elf() : read(nameOrPath));
    }

    private static byte[] read(String path) {
        try {
            Path file = Path.of(path);
            if (!Files.exists(file)) {
                throw new BadInputException(
                        "'" + path + "' is neither a built-in image nor a file",
                        "built in are " + TestVmImage.all().stream()
                                .map(TestVmImage::name)
                                .collect(Collectors.joining(", ")));
            }
            if (!Files.isRegularFile(file)) {
                throw new BadInputException("'" + path + "' is not a regular file");
            }
            long size = Files.size(file);
            if (size > LARGEST) {
                throw new BadInputException("'" + path + "' has " + size + " bytes: too large for an image");
            }
            return Files.readAllBytes(file);
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + path + "' cannot be read: " + e);
        }
    }
}
