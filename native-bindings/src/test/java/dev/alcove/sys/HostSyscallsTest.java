// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntSupplier;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The seam on the host's kernel: answers come back as the kernel gives them. */
@Timeout(60)
class HostSyscallsTest {
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final int READ_WRITE = Linux.PROT_READ | Linux.PROT_WRITE;

    private final Syscalls syscalls = new HostSyscalls();

    private static MemorySegment text(Arena arena, String text) {
        return arena.allocateFrom(JAVA_BYTE, text.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void filesAreWrittenAndRead(@TempDir Path directory) {
        String path = directory.resolve("file").toString();
        assertEquals(-Errno.ENOENT, syscalls.open(path, Linux.O_RDONLY, 0));
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CREAT | Linux.O_CLOEXEC, 0600);
        assertTrue(fd >= 0);
        assertEquals(Linux.FD_CLOEXEC, syscalls.fcntl(fd, Linux.F_GETFD, 0));
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(5, syscalls.write(fd, text(arena, "hello")));
            assertEquals(3, syscalls.pwrite(fd, text(arena, "LLO"), 2));
            assertEquals(0, syscalls.lseek(fd, 0, Linux.SEEK_SET));
            MemorySegment buffer = arena.allocate(16);
            assertEquals(5, syscalls.read(fd, buffer));
            assertEquals("heLLO", buffer.getString(0));
            assertEquals(2, syscalls.pread(fd, buffer, 3));
            assertEquals(0, syscalls.ftruncate(fd, 3));
            MemorySegment stat = arena.allocate(144, 8);
            assertEquals(0, syscalls.fstat(fd, stat));
            assertEquals(3, stat.get(JAVA_LONG, 48), "st_size");
            int copy = syscalls.dup(fd);
            assertTrue(copy > fd);
            assertEquals(0, syscalls.close(copy));
            assertEquals(0, syscalls.close(fd));
            assertEquals(-Errno.EBADF, syscalls.close(fd));
            assertEquals(-Errno.EBADF, syscalls.read(fd, buffer));
        }
    }

    @Test
    void directoriesAreListed(@TempDir Path directory) {
        String path = directory.toString();
        Set<String> names = new HashSet<>();
        int created = syscalls.open(path + "/name", Linux.O_WRONLY | Linux.O_CREAT, 0600);
        int fd = syscalls.open(path, Linux.O_RDONLY | Linux.O_DIRECTORY, 0);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(1024, 8);
            int length = syscalls.getdents64(fd, buffer);
            assertTrue(length > 0);
            for (int at = 0; at < length; at += buffer.get(JAVA_SHORT_UNALIGNED, at + 16)) {
                names.add(buffer.getString(at + 19));
            }
        }
        syscalls.close(fd);
        syscalls.close(created);
        assertEquals(Set.of(".", "..", "name"), names);
    }

    @Test
    void twoMappingsOfAMemfdAreTheSameMemory() {
        int fd = syscalls.memfdCreate("test", Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING);
        assertEquals(0, syscalls.ftruncate(fd, 2 * PAGE));
        long first = syscalls.mmap(0, 2 * PAGE, READ_WRITE, Linux.MAP_SHARED, fd, 0);
        long second = syscalls.mmap(0, PAGE, READ_WRITE, Linux.MAP_SHARED, fd, PAGE);
        assertFalse(Linux.isError(first));
        assertFalse(Linux.isError(second));
        MemorySegment whole = UserMappings.segment(first, 2 * PAGE);
        MemorySegment half = UserMappings.segment(second, PAGE);
        half.set(JAVA_INT, 8, 4711);
        assertEquals(4711, whole.get(JAVA_INT, PAGE + 8));
        int punch = Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE;
        assertEquals(0, syscalls.fallocate(fd, punch, PAGE, PAGE));
        assertEquals(0, half.get(JAVA_INT, 8));
        assertEquals(0, syscalls.madvise(first, PAGE, Linux.MADV_DONTNEED));
        assertEquals(-Errno.EINVAL, syscalls.madvise(first + 1, PAGE, Linux.MADV_DONTNEED));
        assertEquals(0, syscalls.munmap(first, 2 * PAGE));
        assertEquals(0, syscalls.munmap(second, PAGE));
        assertEquals(-Errno.EBADF, syscalls.mmap(0, PAGE, READ_WRITE, Linux.MAP_SHARED, -1, 0));
        assertEquals(-Errno.EINVAL, syscalls.mmap(0, 0, READ_WRITE, Linux.MAP_SHARED, fd, 0));
        syscalls.close(fd);
    }

    @Test
    void eventfdsAddUpAndCanBePolled() {
        try (EventFd eventfd = EventFd.create(syscalls)) {
            assertEquals(0, eventfd.drain());
            assertFalse(eventfd.await(0));
            eventfd.signal();
            eventfd.signal();
            assertTrue(eventfd.await(-1));
            assertEquals(2, eventfd.drain());
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment pollfds = arena.allocate(16, 4);
                pollfds.set(JAVA_INT, 0, eventfd.fd());
                pollfds.set(JAVA_SHORT, 4, (short) (Linux.POLLIN | Linux.POLLOUT));
                pollfds.set(JAVA_INT, 8, 4711);
                assertEquals(2, syscalls.poll(pollfds, 0));
                assertEquals(Linux.POLLOUT, pollfds.get(JAVA_SHORT, 6));
                assertEquals(Linux.POLLNVAL, pollfds.get(JAVA_SHORT, 14));
            }
            assertEquals(-Errno.ENOTTY, syscalls.ioctl(eventfd.fd(), 0x5401, 0));
        }
    }

    @Test
    void theProcessKnowsItself() {
        assertEquals(ProcessHandle.current().pid(), syscalls.getpid());
        assertTrue(syscalls.gettid() > 0);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(390);
            assertEquals(0, syscalls.uname(name));
            assertEquals("Linux", name.getString(0));
            assertEquals(System.getProperty("os.version"), name.getString(130));
            MemorySegment limit = arena.allocate(16, 8);
            assertEquals(0, syscalls.prlimit(Linux.RLIMIT_NOFILE, null, limit));
            assertTrue(limit.get(JAVA_LONG, 0) > 0);
            assertEquals(-Errno.EINVAL, syscalls.prlimit(4711, null, limit));
            MemorySegment target = arena.allocate(256);
            assertTrue(syscalls.readlink("/proc/self/exe", target) > 0);
            assertTrue(target.getString(0).endsWith("java"));
            assertEquals(-Errno.EINVAL, syscalls.readlink("/", target));
        }
    }

    @Test
    void aBlockedSignalWaitsToBeTaken() {
        int signal = Linux.SIGRTMIN + 8;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment set = arena.allocateFrom(JAVA_LONG, 1L << (signal - 1));
            MemorySegment old = arena.allocate(JAVA_LONG);
            assertEquals(0, syscalls.sigprocmask(Linux.SIG_BLOCK, set, old));
            assertEquals(-Errno.EAGAIN, syscalls.sigtimedwait(set, 0));
            assertEquals(0, syscalls.tgkill(syscalls.getpid(), syscalls.gettid(), signal));
            assertEquals(signal, syscalls.sigtimedwait(set, 0));
            assertEquals(-Errno.EAGAIN, syscalls.sigtimedwait(set, 0));
            assertEquals(0, syscalls.sigprocmask(Linux.SIG_SETMASK, old, null));
        }
    }

    @Test
    void everyThreadHasItsOwnErrno() throws Exception {
        int fd = syscalls.eventfd(0, Linux.EFD_CLOEXEC);
        int rounds = 20_000;
        try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
            List<Future<Integer>> wrong = new ArrayList<>();
            wrong.add(threads.submit(() -> unlike(rounds, -Errno.EBADF, () -> syscalls.ioctl(-1, 1, 0))));
            wrong.add(threads.submit(() -> unlike(rounds, -Errno.ENOTTY, () -> syscalls.ioctl(fd, 0x5401, 0))));
            wrong.add(threads.submit(() -> unlike(rounds, -Errno.EINVAL, () -> syscalls.munmap(1, PAGE))));
            for (Future<Integer> count : wrong) {
                assertEquals(0, count.get());
            }
        }
        syscalls.close(fd);
    }

    private static int unlike(int rounds, int expected, IntSupplier call) {
        int wrong = 0;
        for (int i = 0; i < rounds; i++) {
            if (call.getAsInt() != expected) {
                wrong++;
            }
        }
        return wrong;
    }

    @Test
    void anIoctlDoesNotAllocate() {
        Assumptions.assumeTrue(
                ManagementFactory.getThreadMXBean() instanceof ThreadMXBean, "this JVM does not count allocations");
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int fd = syscalls.eventfd(0, Linux.EFD_CLOEXEC);
        int rounds = 20_000;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = arena.allocate(64);
            long allocated = Long.MAX_VALUE;
            // The compiler needs some rounds, on a busy machine many, before it sees that the segments do not escape.
            for (int attempt = 0; attempt < 200 && allocated > rounds; attempt++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < rounds; i++) {
                    syscalls.ioctl(fd, 0x5401, struct);
                    syscalls.ioctl(fd, 0x5401, 0);
                }
                allocated = threads.getCurrentThreadAllocatedBytes() - before;
            }
            assertTrue(allocated <= rounds, allocated + " bytes in " + 2 * rounds + " calls");
        }
        syscalls.close(fd);
    }

    @Test
    void aWrongArgumentKeepsItsException() {
        Arena arena = Arena.ofConfined();
        MemorySegment closed = arena.allocate(8);
        arena.close();
        assertThrows(IllegalStateException.class, () -> syscalls.read(0, closed));
        assertThrows(BadInputException.class, () -> syscalls.open("a\0b", 0, 0));
    }
}
