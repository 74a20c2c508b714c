// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.OptionalLong;

/** Text files of /proc and /sys, through the seam. */
final class KernelText {
    private static final int PIECE = 1 << 16;
    private static final int MOST = 16 << 20;

    private KernelText() {}

    /** The whole file; empty where the kernel has none or does not let us read it. */
    static Optional<String> read(Syscalls syscalls, String path) {
        int fd = syscalls.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            return Optional.empty();
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment piece = arena.allocate(PIECE);
            ByteArrayOutputStream text = new ByteArrayOutputStream();
            while (text.size() < MOST) {
                long length = syscalls.read(fd, piece);
                if (length <= 0) {
                    break;
                }
                text.writeBytes(piece.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE));
            }
            return Optional.of(text.toString(StandardCharsets.US_ASCII));
        } finally {
            syscalls.close(fd);
        }
    }

    /** The number behind {@code NAME:} or in a file that is one number; empty where there is none. */
    static OptionalLong number(String text, String name) {
        for (String line : text.lines().toList()) {
            if (line.startsWith(name)) {
                String digits = line.substring(name.length()).replaceAll("[^0-9]", "");
                return digits.isEmpty() || digits.length() > 18
                        ? OptionalLong.empty()
                        : OptionalLong.of(Long.parseLong(digits));
            }
        }
        return OptionalLong.empty();
    }
}
