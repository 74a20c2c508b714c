// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/** Reads sysfs through the seam: names in a directory, small files, the last part of a link. */
final class Sysfs {
    private static final int BUFFER = 4096;
    /** {@code struct linux_dirent64}: d_ino 8, d_off 8, d_reclen 2, d_type 1, d_name. */
    private static final int RECLEN_OFFSET = 16;
    private static final int NAME_OFFSET = 19;

    private final Syscalls syscalls;

    Sysfs(Syscalls syscalls) {
        this.syscalls = syscalls;
    }

    /** The names in a directory, sorted; empty where there is no such directory. */
    List<String> list(String directory) {
        int fd = syscalls.open(directory, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
        if (fd == -Errno.ENOENT || fd == -Errno.ENOTDIR) {
            return List.of();
        }
        SyscallException.check(fd, "open", directory);
        List<String> names = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(BUFFER, 8);
            int length;
            while ((length = SyscallException.check(syscalls.getdents64(fd, buffer), "getdents64", directory)) > 0) {
                int record;
                for (int at = 0; at < length; at += record) {
                    record = Short.toUnsignedInt(buffer.get(JAVA_SHORT_UNALIGNED, at + RECLEN_OFFSET));
                    String name = buffer.getString(at + NAME_OFFSET);
                    if (!name.equals(".") && !name.equals("..")) {
                        names.add(name);
                    }
                }
            }
        } finally {
            syscalls.close(fd);
        }
        names.sort(null);
        return names;
    }

    /** The text of a small file without the white space at its end; empty where it cannot be read. */
    Optional<String> read(String path) {
        int fd = syscalls.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            return Optional.empty();
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(BUFFER);
            long length = syscalls.read(fd, buffer);
            return length < 0 ? Optional.empty() : Optional.of(text(buffer, length).strip());
        } finally {
            syscalls.close(fd);
        }
    }

    /** A hexadecimal number with 0x in front, or -1. */
    int readHex(String path) {
        String text = read(path).orElse("");
        try {
            return text.startsWith("0x") ? Integer.parseUnsignedInt(text.substring(2), 16) : -1;
        } catch (NumberFormatException notANumber) {
            return -1;
        }
    }

    /** The last part of what a symbolic link points to; empty where there is no link. */
    Optional<String> linkName(String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(BUFFER);
            int length = syscalls.readlink(path, buffer);
            if (length < 0) {
                return Optional.empty();
            }
            String target = text(buffer, length);
            return Optional.of(target.substring(target.lastIndexOf('/') + 1));
        }
    }

    private static String text(MemorySegment buffer, long length) {
        return new String(buffer.asSlice(0, length).toArray(JAVA_BYTE), StandardCharsets.UTF_8);
    }
}
