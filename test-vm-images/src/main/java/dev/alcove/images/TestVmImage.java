// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/**
 * A built-in guest program: a PVH ELF64 image linked at 1 MiB, under 1 MiB with its bss.
 *
 * <p>Success is the value 0x10 written to the debug-exit port 0xf4, failure 0x11; text goes to COM1.
 *
 * @param name the name a user gives
 * @param notes what the image says about itself
 */
public record TestVmImage(String name, ImageNotes notes) {
    private static final List<String> NAMES = List.of("hello", "convert", "dma", "storm", "abuse");

    /** All images, simplest first. */
    public static List<TestVmImage> all() {
        return NAMES.stream().map(TestVmImage::load).toList();
    }

    /** The image of this name. */
    public static Optional<TestVmImage> find(String name) {
        return NAMES.contains(name) ? Optional.of(load(name)) : Optional.empty();
    }

    private static TestVmImage load(String name) {
        return new TestVmImage(name, ImageNotes.read(resource(name + ".elf")));
    }

    /** One line for a person. */
    public String description() {
        return notes.description();
    }

    /** The ELF file, a new array. */
    public byte[] elf() {
        return resource(name + ".elf");
    }

    /** What the image prints on a VM without page conversions, with an edu device and an empty command line. */
    public String plainOutput() {
        return text(".plain.txt");
    }

    /** What the image prints on a VM with page conversions, with an edu device and an empty command line. */
    public String confidentialOutput() {
        return text(".confidential.txt");
    }

    private String text(String ending) {
        return new String(resource(name + ending), StandardCharsets.US_ASCII);
    }

    /** A file beside the images. */
    static byte[] resource(String file) {
        try (InputStream in = TestVmImage.class.getResourceAsStream(file)) {
            if (in == null) {
                throw new IllegalStateException("resource dev/alcove/images/" + file + " is missing: run test-vm-images/build");
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException("resource dev/alcove/images/" + file, e);
        }
    }
}
