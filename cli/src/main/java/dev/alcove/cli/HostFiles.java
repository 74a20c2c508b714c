// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * Small files and limits of the host, read through its system calls.
 *
 * @param syscalls the host
 */
record HostFiles(Syscalls syscalls) {
    private static final int BUFFER = 4096;

    /** The text of a small file without white space at its ends; empty when it cannot be read. */
    Optional<String> text(String path) {
        int fd = syscalls.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            return Optional.empty();
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(BUFFER);
            long length = syscalls.read(fd, buffer);
            return length < 0
                    ? Optional.empty()
                    : Optional.of(new String(
                                    buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8)
                            .strip());
        } finally {
            syscalls.close(fd);
        }
    }

    /** Whether a module parameter says yes: Y or a number other than 0. */
    boolean isOn(String path) {
        return text(path).map(t -> t.equals("Y") || t.matches("[1-9]\\d*")).orElse(false);
    }

    /** The symbol of the errno with which a device cannot be opened; empty when it can. */
    Optional<String> obstacle(String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            return Optional.of(Errno.name(fd));
        }
        syscalls.close(fd);
        return Optional.empty();
    }

    /** The soft limit of a resource in its own unit; {@link Linux#RLIM_INFINITY} for none. */
    long softLimit(int resource) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(16, 8);
            return syscalls.prlimit(resource, null, limit) < 0 ? 0 : limit.get(ValueLayout.JAVA_LONG, 0);
        }
    }
}
