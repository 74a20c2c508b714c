// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** eventfd(2) and poll(2). */
@Surface("process")
@Timeout(60)
final class EventfdContractTest {
    private static long read(Syscalls sys, int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = sys.read(fd, value);
            return answer == 8 ? value.get(ValueLayout.JAVA_LONG, 0) : answer;
        }
    }

    private static long write(Syscalls sys, int fd, long value) {
        try (Arena arena = Arena.ofConfined()) {
            return sys.write(fd, arena.allocateFrom(ValueLayout.JAVA_LONG, value));
        }
    }

    private static int poll(Syscalls sys, int fd, int events, int timeout) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment entry = arena.allocate(8, 8);
            entry.set(ValueLayout.JAVA_INT, 0, fd);
            entry.set(ValueLayout.JAVA_SHORT, 4, (short) events);
            int answer = (int) ok(sys.poll(entry, timeout));
            int returned = entry.get(ValueLayout.JAVA_SHORT, 6);
            assertEquals(returned != 0 ? 1 : 0, answer);
            return returned;
        }
    }

    @EveryKernel
    void countsAndStarts(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        fails(Errno.EINVAL, sys.eventfd(0, 0x10));
        int fd = fd(sys.eventfd(5, Linux.EFD_NONBLOCK | Linux.EFD_CLOEXEC));
        assertEquals(Linux.O_RDWR | Linux.O_NONBLOCK, sys.fcntl(fd, Linux.F_GETFL, 0));
        assertEquals(8, write(sys, fd, 3));
        assertEquals(8, read(sys, fd));
        fails(Errno.EAGAIN, read(sys, fd));
        assertEquals(8, write(sys, fd, 0));
        fails(Errno.EAGAIN, read(sys, fd));
        fails(Errno.EINVAL, write(sys, fd, -1));
        try (Arena arena = Arena.ofConfined()) {
            fails(Errno.EINVAL, sys.read(fd, arena.allocate(7)));
            fails(Errno.EINVAL, sys.write(fd, arena.allocate(7)));
            fails(Errno.ESPIPE, sys.pread(fd, arena.allocate(8), 0));
            fails(Errno.ESPIPE, sys.pwrite(fd, arena.allocate(8), 0));
        }
        sys.close(fd);
    }

    @EveryKernel
    void theCounterHasAnEnd(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, Linux.EFD_NONBLOCK));
        assertEquals(8, write(sys, fd, -3));
        assertEquals(Linux.POLLIN | Linux.POLLOUT, poll(sys, fd, Linux.POLLIN | Linux.POLLOUT, 0));
        assertEquals(8, write(sys, fd, 1));
        assertEquals(Linux.POLLIN, poll(sys, fd, Linux.POLLIN | Linux.POLLOUT, 0));
        fails(Errno.EAGAIN, write(sys, fd, 1));
        assertEquals(-2, readAll(sys, fd));
        sys.close(fd);
    }

    private static long readAll(Syscalls sys, int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            assertEquals(8, sys.read(fd, value));
            return value.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    @EveryKernel
    void aSemaphoreGivesOneAtATime(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(2, Linux.EFD_NONBLOCK | Linux.EFD_SEMAPHORE));
        assertEquals(1, read(sys, fd));
        assertEquals(1, read(sys, fd));
        fails(Errno.EAGAIN, read(sys, fd));
        sys.close(fd);
    }

    @EveryKernel
    void nonBlockingCanBeSwitched(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, 0));
        ok(sys.fcntl(fd, Linux.F_SETFL, Linux.O_NONBLOCK));
        fails(Errno.EAGAIN, read(sys, fd));
        assertEquals(Linux.O_RDWR | Linux.O_NONBLOCK, sys.fcntl(fd, Linux.F_GETFL, 0));
        sys.close(fd);
    }

    @EveryKernel
    void aReadWaitsForAWrite(KernelUnderTest kernel) throws InterruptedException {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, 0));
        int done = fd(sys.eventfd(0, 0));
        AtomicLong sum = new AtomicLong();
        Thread reader = new Thread(() -> {
            while (sum.get() < 5000) {
                sum.addAndGet(readAll(sys, fd));
            }
            write(sys, done, 1);
        });
        reader.start();
        for (int i = 0; i < 5000; i++) {
            assertEquals(8, write(sys, fd, 1));
        }
        assertEquals(1, readAll(sys, done));
        reader.join();
        assertEquals(5000, sum.get());
        sys.close(fd);
        sys.close(done);
    }

    @EveryKernel
    void aWriteWaitsForRoom(KernelUnderTest kernel) throws InterruptedException {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, 0));
        assertEquals(8, write(sys, fd, -2));
        Thread writer = new Thread(() -> assertEquals(8, write(sys, fd, 5)));
        writer.start();
        assertEquals(-2, readAll(sys, fd));
        writer.join();
        assertEquals(5, readAll(sys, fd));
        sys.close(fd);
    }

    @EveryKernel
    void pollTellsWhatHolds(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.eventfd(0, 0));
        assertEquals(Linux.POLLOUT, poll(sys, fd, Linux.POLLIN | Linux.POLLOUT, 1000));
        assertEquals(0, poll(sys, fd, Linux.POLLIN, 0));
        assertEquals(0, poll(sys, fd, Linux.POLLIN, 5));
        assertEquals(0, poll(sys, -1, Linux.POLLIN, 0));
        assertEquals(Linux.POLLNVAL, poll(sys, 999_999, Linux.POLLIN, 1000));
        int memfd = fd(sys.memfdCreate("poll", 0));
        assertEquals(Linux.POLLIN | Linux.POLLOUT, poll(sys, memfd, Linux.POLLIN | Linux.POLLOUT, 1000));
        sys.close(memfd);
        sys.close(fd);
    }

    @EveryKernel
    void pollWakesForAnyOfItsFiles(KernelUnderTest kernel) throws InterruptedException {
        Syscalls sys = kernel.sys();
        int first = fd(sys.eventfd(0, 0));
        int second = fd(sys.eventfd(0, 0));
        CountDownLatch started = new CountDownLatch(1);
        Thread poker = new Thread(() -> {
            try {
                started.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            write(sys, second, 1);
        });
        poker.start();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment entries = arena.allocate(16, 8);
            entries.set(ValueLayout.JAVA_INT, 0, first);
            entries.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
            entries.set(ValueLayout.JAVA_INT, 8, second);
            entries.set(ValueLayout.JAVA_SHORT, 12, (short) Linux.POLLIN);
            started.countDown();
            assertEquals(1, sys.poll(entries, -1));
            assertEquals(0, entries.get(ValueLayout.JAVA_SHORT, 6));
            assertEquals(Linux.POLLIN, entries.get(ValueLayout.JAVA_SHORT, 14));
        }
        poker.join();
        assertTrue(poll(sys, second, Linux.POLLIN, 0) != 0);
        sys.close(first);
        sys.close(second);
    }
}
