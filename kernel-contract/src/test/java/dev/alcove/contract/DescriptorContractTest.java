// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Descriptors, paths, directories, limits, names. */
@Surface("process")
final class DescriptorContractTest {
    private static final int NONE = 999_999;

    @EveryKernel
    void nothingWorksOnAClosedDescriptor(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(256, 8);
            for (int fd : new int[] {NONE, -1}) {
                fails(Errno.EBADF, sys.close(fd));
                fails(Errno.EBADF, sys.dup(fd));
                fails(Errno.EBADF, sys.read(fd, buffer));
                fails(Errno.EBADF, sys.write(fd, buffer));
                fails(Errno.EBADF, sys.pread(fd, buffer, 0));
                fails(Errno.EBADF, sys.pwrite(fd, buffer, 0));
                fails(Errno.EBADF, sys.lseek(fd, 0, 0));
                fails(Errno.EBADF, sys.fstat(fd, buffer));
                fails(Errno.EBADF, sys.ioctl(fd, 0xae00, 0));
                fails(Errno.EBADF, sys.ioctl(fd, 0xae00, buffer));
                fails(Errno.EBADF, sys.fallocate(fd, 0, 0, 1));
                fails(Errno.EBADF, sys.ftruncate(fd, 0));
                fails(Errno.EBADF, sys.getdents64(fd, buffer));
                fails(Errno.EBADF, sys.fcntl(fd, Linux.F_GETFD, 0));
                fails(Errno.EBADF, sys.mmap(0, 4096, Linux.PROT_READ, Linux.MAP_SHARED, fd, 0));
            }
        }
    }

    @EveryKernel
    void aDuplicateSharesTheFile(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("dup", Linux.MFD_CLOEXEC));
        int copy = fd(sys.dup(fd));
        int high = fd(sys.fcntl(fd, Linux.F_DUPFD_CLOEXEC, 500));
        assertTrue(high >= 500);
        assertEquals(0, sys.fcntl(copy, Linux.F_GETFD, 0));
        assertEquals(Linux.FD_CLOEXEC, sys.fcntl(high, Linux.F_GETFD, 0));
        ok(sys.fcntl(high, Linux.F_SETFD, 0));
        assertEquals(0, sys.fcntl(high, Linux.F_GETFD, 0));
        assertEquals(100, sys.lseek(fd, 100, Linux.SEEK_SET));
        assertEquals(100, sys.lseek(copy, 0, Linux.SEEK_CUR), "one position for all");
        ok(sys.close(fd));
        assertEquals(100, sys.lseek(high, 0, Linux.SEEK_CUR));
        fails(Errno.EINVAL, sys.fcntl(high, Linux.F_DUPFD, -1));
        fails(Errno.EINVAL, sys.fcntl(high, 4711, 0));
        ok(sys.close(copy));
        ok(sys.close(high));
    }

    @EveryKernel
    void anIoctlThatAFileDoesNotKnow(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, 0));
        fails(Errno.ENOTTY, sys.ioctl(fd, 0x1234_5678, 0));
        sys.close(fd);
        int memfd = fd(sys.memfdCreate("ioctl", 0));
        fails(Errno.ENOTTY, sys.ioctl(memfd, 0x1234_5678, 0));
        sys.close(memfd);
    }

    @EveryKernel
    void accessModesAreKept(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int reader = fd(sys.open("/dev/null", Linux.O_RDONLY, 0));
        int writer = fd(sys.open("/dev/null", Linux.O_WRONLY | Linux.O_CLOEXEC, 0));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(8);
            assertEquals(0, sys.read(reader, buffer));
            fails(Errno.EBADF, sys.write(reader, buffer));
            fails(Errno.EBADF, sys.read(writer, buffer));
            assertEquals(8, sys.write(writer, buffer));
            assertEquals(Linux.FD_CLOEXEC, sys.fcntl(writer, Linux.F_GETFD, 0));
            fails(Errno.EBADF, sys.fallocate(reader, 0, 0, 1));
            fails(Errno.ENODEV, sys.fallocate(writer, 0, 0, 1));
            fails(Errno.EINVAL, sys.ftruncate(writer, 0));
            MemorySegment stat = arena.allocate(144, 8);
            ok(sys.fstat(writer, stat));
            assertEquals(0020000, stat.get(ValueLayout.JAVA_INT, 24) & 0170000, "a character device");
        }
        sys.close(reader);
        sys.close(writer);
    }

    @EveryKernel
    void pathsThatLeadNowhere(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        fails(Errno.ENOENT, sys.open("/dev/no-such-device", Linux.O_RDWR, 0));
        fails(Errno.ENOENT, sys.open("", Linux.O_RDWR, 0));
        fails(Errno.ENOTDIR, sys.open("/dev/null/x", Linux.O_RDWR, 0));
        fails(Errno.ENOTDIR, sys.open("/dev/null", Linux.O_RDONLY | Linux.O_DIRECTORY, 0));
        fails(Errno.EISDIR, sys.open("/dev", Linux.O_RDWR, 0));
        fails(Errno.EEXIST, sys.open("/dev/null", Linux.O_RDWR | Linux.O_CREAT | Linux.O_EXCL, 0));
        int odd = fd(sys.open("//dev/./../dev//null", Linux.O_RDWR, 0));
        sys.close(odd);
        try (Arena arena = Arena.ofConfined()) {
            fails(Errno.EINVAL, sys.readlink("/dev/null", arena.allocate(64)));
            fails(Errno.ENOENT, sys.readlink("/dev/no-such-device", arena.allocate(64)));
        }
    }

    @EveryKernel
    void directoriesCanBeListed(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.open("/dev", Linux.O_RDONLY | Linux.O_DIRECTORY, 0));
        Map<String, Integer> types = new HashMap<>();
        try (Arena arena = Arena.ofConfined()) {
            fails(Errno.EINVAL, sys.getdents64(fd, arena.allocate(8)));
            MemorySegment buffer = arena.allocate(256, 8);
            for (int used = fd(sys.getdents64(fd, buffer)); used > 0; used = fd(sys.getdents64(fd, buffer))) {
                int at = 0;
                while (at < used) {
                    int length = buffer.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + 16);
                    types.put(buffer.getString(at + 19), (int) buffer.get(ValueLayout.JAVA_BYTE, at + 18));
                    at += length;
                }
            }
            fails(Errno.EISDIR, sys.read(fd, buffer));
            int event = fd(sys.eventfd(0, 0));
            fails(Errno.ENOTDIR, sys.getdents64(event, buffer));
            sys.close(event);
        }
        assertEquals(2, types.get("null"));
        assertEquals(4, types.get("."));
        assertEquals(4, types.get(".."));
        sys.close(fd);
    }

    @EveryKernel
    void textFilesOfTheKernel(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.open("/proc/self/status", Linux.O_RDONLY, 0));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(8192);
            long length = ok(sys.read(fd, buffer));
            buffer.set(ValueLayout.JAVA_BYTE, length, (byte) 0);
            String text = buffer.getString(0);
            assertTrue(text.contains("\nVmPin:\t"), text);
            assertTrue(text.contains("\nVmLck:\t"), text);
            assertTrue(text.contains("Tgid:\t" + sys.getpid() + "\n"), text);
            assertEquals(0, sys.read(fd, buffer));
        }
        sys.close(fd);
    }

    @EveryKernel
    void limitsCanBeReadAndSet(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(16, 8);
            MemorySegment again = arena.allocate(16, 8);
            for (int resource : new int[] {Linux.RLIMIT_NOFILE, Linux.RLIMIT_MEMLOCK}) {
                ok(sys.prlimit(resource, null, limit));
                ok(sys.prlimit(resource, limit, again));
                assertEquals(-1, limit.mismatch(again));
                long soft = limit.get(ValueLayout.JAVA_LONG, 0);
                long hard = limit.get(ValueLayout.JAVA_LONG, 8);
                assertTrue(Long.compareUnsigned(soft, hard) <= 0);
                again.set(ValueLayout.JAVA_LONG, 0, 100);
                again.set(ValueLayout.JAVA_LONG, 8, 99);
                fails(Errno.EINVAL, sys.prlimit(resource, again, null));
            }
            fails(Errno.EINVAL, sys.prlimit(16, null, limit));
            fails(Errno.EINVAL, sys.prlimit(-1, null, limit));
        }
    }

    @EveryKernel
    void theKernelTellsItsName(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment names = arena.allocate(390);
            ok(sys.uname(names));
            assertEquals("Linux", names.getString(0));
            assertFalse(names.getString(130).isEmpty());
            assertEquals("x86_64", names.getString(260));
        }
        assertTrue(sys.getpid() > 0);
        assertTrue(sys.geteuid() >= 0);
    }
}
