// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;

/** Text files of procfs, sysfs and debugfs: a call each. */
record TextFiles(Syscalls sys) {
    private static final int LONGEST = 256;

    /** What a file says. */
    String read(String path) {
        int fd = fd(sys.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0));
        try {
            return read(fd);
        } finally {
            ok(sys.close(fd));
        }
    }

    /** What an open file says from where it stands. */
    String read(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(LONGEST);
            long length = ok(sys.read(fd, buffer));
            return new String(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
        }
    }

    /** Writes at once: what write(2) answers. */
    long write(String path, String text) {
        int fd = fd(sys.open(path, Linux.O_WRONLY | Linux.O_CLOEXEC, 0));
        try (Arena arena = Arena.ofConfined()) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            MemorySegment buffer = arena.allocate(bytes.length + 1L).copyFrom(MemorySegment.ofArray(bytes));
            return sys.write(fd, buffer.asSlice(0, bytes.length));
        } finally {
            ok(sys.close(fd));
        }
    }
}
