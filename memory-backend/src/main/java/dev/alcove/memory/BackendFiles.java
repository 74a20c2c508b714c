// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/** Opens what is behind a {@link RamBackend}, and makes it long enough. */
final class BackendFiles {
    /** Where flags of memfd_create(2) and mmap(2) have the binary logarithm of a huge page's size. */
    private static final int HUGE_SHIFT = 26;

    private static final int O_TMPFILE = 0x40_0000 | Linux.O_DIRECTORY;

    private static final int STAT_BYTES = 144;
    private static final int ST_SIZE = 48;
    private static final int ST_BLOCKS = 64;

    private BackendFiles() {}

    static int sizeFlag(RamBackend backend) {
        return Long.numberOfTrailingZeros(backend.hugePage()) << HUGE_SHIFT;
    }

    /** Opens it: a descriptor, or -1 where there is no file. */
    static int open(Syscalls syscalls, RamBackend backend, String name, long size, SharedBacking.FilePlace place) {
        return switch (backend.kind()) {
            case RAM -> -1;
            case MEMFD -> memfd(syscalls, backend, name, size);
            case FILE -> file(syscalls, Objects.requireNonNull(backend.file()), place.total());
        };
    }

    private static int memfd(Syscalls syscalls, RamBackend backend, String name, long size) {
        int flags = Linux.MFD_CLOEXEC;
        if (backend.hugePage() != 0) {
            flags |= Linux.MFD_HUGETLB | sizeFlag(backend);
        }
        int fd = syscalls.memfdCreate(name, flags);
        if (fd < 0) {
            throw SharedBacking.refused(syscalls, backend, "memfd_create", name, fd, size);
        }
        int answer = syscalls.ftruncate(fd, size);
        if (answer < 0) {
            syscalls.close(fd);
            throw SharedBacking.refused(syscalls, backend, "ftruncate", name + " to " + size + " bytes", answer, size);
        }
        return fd;
    }

    private static int file(Syscalls syscalls, String path, long total) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CREAT | Linux.O_CLOEXEC, 0600);
        if (fd == -Errno.EISDIR) {
            fd = syscalls.open(path, Linux.O_RDWR | O_TMPFILE | Linux.O_CLOEXEC, 0600);
        }
        if (fd < 0) {
            throw new SyscallException("open", path, fd, switch (-fd) {
                case Errno.EROFS -> "nothing can be made there: use another path, or backend=memfd";
                case Errno.ENOENT -> "make the folder that it is to be in";
                case Errno.EACCES, Errno.EPERM -> "give this user the right to read and write it";
                default -> null;
            });
        }
        try {
            long there = stat(syscalls, fd, ST_SIZE);
            if (there != 0 && there < total) {
                throw new BadInputException(
                        "'" + path + "' has " + there + " bytes, and the guest's RAM needs " + total,
                        "truncate -s " + total + " " + path);
            }
            if (there == 0) {
                SyscallException.check(
                        syscalls.ftruncate(fd, total), "ftruncate", path + " to " + total + " bytes");
            }
            return fd;
        } catch (RuntimeException failure) {
            syscalls.close(fd);
            throw failure;
        }
    }

    /** Bytes that a file takes; negative where it cannot be told. */
    static long allocated(Syscalls syscalls, int fd) {
        return stat(syscalls, fd, ST_BLOCKS) * 512;
    }

    private static long stat(Syscalls syscalls, int fd, int field) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment stat = arena.allocate(STAT_BYTES, 8);
            return syscalls.fstat(fd, stat) < 0 ? -1 : stat.get(ValueLayout.JAVA_LONG, field);
        }
    }
}
