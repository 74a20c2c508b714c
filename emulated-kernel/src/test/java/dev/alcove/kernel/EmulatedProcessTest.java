// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

@Timeout(60)
final class EmulatedProcessTest {
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final int PRIVATE = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;

    private final EmulatedKernel kernel =
            new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls(), 1L << 28, what -> true);
    private final EmulatedProcess process = kernel.process();
    private final List<String> released = new ArrayList<>();

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    /** Adds one to the number that its argument points to. */
    private final class Adder extends OpenFile {
        private final String name;

        Adder(String name) {
            super(Linux.O_RDWR);
            this.name = name;
        }

        @Override
        public long ioctl(Task task, int request, long argument) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment number = arena.allocate(8, 8);
                int error = task.memory().copyIn(argument, number);
                if (error == 0) {
                    number.set(ValueLayout.JAVA_LONG, 0, number.get(ValueLayout.JAVA_LONG, 0) + 1);
                    error = task.memory().copyOut(argument, number);
                }
                return error;
            }
        }

        @Override
        public Stat stat() {
            return new Stat(1, Stat.S_IFCHR, 0, 0);
        }

        @Override
        protected void release() {
            released.add(name);
        }
    }

    private int adder(String name) {
        kernel.vfs().add("/dev/" + name, (task, flags) -> task.install(new Adder(name), true));
        return process.open("/dev/" + name, Linux.O_RDWR, 0);
    }

    @Test
    void argumentsAreReachedThroughTheWindowOrTheAddressSpace() {
        int fd = adder("adder");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment direct = arena.allocate(8, 8);
            assertEquals(0, process.ioctl(fd, 1, direct));
            assertEquals(1, direct.get(ValueLayout.JAVA_LONG, 0));
            assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, direct.address()), "the window is for one call only");
            assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, direct.asSlice(0, 7)), "and not larger than the segment");
            assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, MemorySegment.NULL));
            assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, direct.asReadOnly()));
        }
        long address = process.mmap(0, 4096, RW, PRIVATE, -1, 0);
        assertEquals(0, process.ioctl(fd, 1, address + 4088));
        assertEquals(1, UserMappings.segment(address, 4096).get(ValueLayout.JAVA_LONG, 4088));
        assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, address + 4089));
        for (long wild : new long[] {0, 1, -1, 0x1234_5678_9000L, Long.MIN_VALUE, Long.MAX_VALUE}) {
            assertEquals(-Errno.EFAULT, process.ioctl(fd, 1, wild));
        }
    }

    @Test
    void descriptorsAreTheLowestFreeAndEnd() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(16, 8);
            limit.set(ValueLayout.JAVA_LONG, 0, 6);
            limit.set(ValueLayout.JAVA_LONG, 8, 6);
            assertEquals(0, process.prlimit(Linux.RLIMIT_NOFILE, limit, null));
        }
        assertEquals(3, process.eventfd(0, 0));
        assertEquals(4, adder("four"));
        assertEquals(5, process.memfdCreate("five", 0));
        assertEquals(-Errno.EMFILE, process.eventfd(0, 0));
        assertEquals(-Errno.EMFILE, process.dup(3));
        assertEquals(-Errno.EMFILE, process.open("/dev/four", Linux.O_RDWR, 0));
        assertEquals(List.of("four"), released, "a file without a descriptor is released");
        assertEquals(0, process.close(3));
        assertEquals(3, process.dup(4));
        assertEquals(3, process.openFiles());
    }

    @Test
    void processesEndInOrder() {
        adder("first");
        adder("second");
        int third = adder("third");
        assertEquals(0, process.close(third));
        int fd = process.memfdCreate("mapped", 0);
        assertEquals(0, process.ftruncate(fd, 1 << 20));
        long address = process.mmap(0, 1 << 20, RW, Linux.MAP_SHARED, fd, 0);
        UserMappings.segment(address, 1 << 20).fill((byte) 1);
        assertEquals(List.of("3 open files", "1 mappings", "256 frames in use"), kernel.leaks());
        process.close();
        assertEquals(List.of("third", "first", "second"), released);
    }

    @Test
    void credentialsDecide() {
        try (EmulatedProcess user = kernel.process(Credentials.user(1000)); Arena arena = Arena.ofConfined()) {
            assertEquals(1000, user.geteuid());
            assertEquals(0, process.geteuid());
            assertTrue(user.getpid() != process.getpid());
            MemorySegment limit = arena.allocate(16, 8);
            limit.set(ValueLayout.JAVA_LONG, 0, -1);
            limit.set(ValueLayout.JAVA_LONG, 8, -1);
            assertEquals(-Errno.EPERM, user.prlimit(Linux.RLIMIT_MEMLOCK, limit, null));
            assertEquals(0, process.prlimit(Linux.RLIMIT_MEMLOCK, limit, null));
            assertEquals(-Errno.ESRCH, user.tgkill(process.getpid(), process.gettid(), 0));
        }
    }

    @Test
    void linksAndDirectoriesOfSysfs() {
        kernel.vfs().addText("/sys/devices/pci0000:00/0000:00:05.0/vendor", "0x1234\n");
        kernel.vfs().addLink("/sys/bus/pci/devices/0000:00:05.0", "../../../devices/pci0000:00/0000:00:05.0");
        kernel.vfs().addLink("/sys/loop", "loop");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(256);
            int length = process.readlink("/sys/bus/pci/devices/0000:00:05.0", buffer);
            assertEquals("../../../devices/pci0000:00/0000:00:05.0", text(buffer, length));
            int fd = process.open("/sys/bus/pci/devices/0000:00:05.0/vendor", Linux.O_RDONLY, 0);
            assertEquals("0x1234\n", text(buffer, (int) process.read(fd, buffer)));
            assertEquals(-Errno.EACCES, process.open("/sys/bus/pci/devices/0000:00:05.0/vendor", Linux.O_RDWR, 0));
            int directory = process.open("/sys/bus/pci/devices/0000:00:05.0/", Linux.O_DIRECTORY, 0);
            assertTrue(process.getdents64(directory, buffer) > 0);
            assertEquals(-40, process.open("/sys/loop", Linux.O_RDONLY, 0));
            kernel.vfs().remove("/sys/devices/pci0000:00/0000:00:05.0/vendor");
            assertEquals(-Errno.ENOENT, process.open("/sys/devices/pci0000:00", Linux.O_RDONLY, 0));
        }
    }

    private static String text(MemorySegment buffer, int length) {
        byte[] bytes = buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
        return new String(bytes, StandardCharsets.US_ASCII);
    }

    @Test
    void theKernelSignalsAnEvent() {
        EventFile[] found = new EventFile[1];
        AtomicInteger heard = new AtomicInteger();
        kernel.vfs().add("/dev/take-event", (task, flags) -> {
            if (task.file(3) instanceof EventFile file) {
                file.get();
                file.listen(heard::incrementAndGet);
                found[0] = file;
            }
            return -Errno.ENXIO;
        });
        assertEquals(3, process.eventfd(0, 0));
        assertEquals(-Errno.ENXIO, process.open("/dev/take-event", Linux.O_RDWR, 0));
        found[0].signal(2);
        assertEquals(1, heard.get());
        assertEquals(2, found[0].consume());
        assertEquals(0, found[0].consume());
        found[0].signal(1);
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(8, process.read(3, arena.allocate(8, 8)));
        }
        assertEquals(0, process.close(3));
        found[0].signal(1);
        found[0].put();
    }

    @Test
    void aSignalThatIsNotBlockedEndsAWait() throws InterruptedException {
        int fd = process.eventfd(0, 0);
        CountDownLatch ready = new CountDownLatch(1);
        AtomicInteger tid = new AtomicInteger();
        AtomicInteger answer = new AtomicInteger();
        Thread waiter = new Thread(() -> {
            tid.set(process.gettid());
            ready.countDown();
            try (Arena arena = Arena.ofConfined()) {
                answer.set((int) process.read(fd, arena.allocate(8, 8)));
            }
        });
        waiter.start();
        ready.await();
        assertEquals(0, process.tgkill(process.getpid(), tid.get(), Linux.SIGRTMIN));
        waiter.join();
        assertEquals(-Errno.EINTR, answer.get());
        assertEquals(-Errno.ESRCH, process.tgkill(process.getpid(), tid.get(), 0), "the thread is gone");
    }

    @Test
    void aFileStaysOpenWhileACallUsesIt() throws InterruptedException {
        int fd = process.eventfd(0, 0);
        CountDownLatch ready = new CountDownLatch(1);
        AtomicInteger answer = new AtomicInteger();
        Thread reader = new Thread(() -> {
            ready.countDown();
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment entry = arena.allocate(8, 8);
                entry.set(ValueLayout.JAVA_INT, 0, fd);
                entry.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
                answer.set(process.poll(entry, 60_000));
            }
        });
        int copy = process.dup(fd);
        reader.start();
        ready.await();
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(8, process.write(copy, arena.allocateFrom(ValueLayout.JAVA_LONG, 1)));
        }
        reader.join();
        assertEquals(1, answer.get());
        assertEquals(0, process.close(fd));
        assertEquals(0, process.close(copy));
    }

    @Test
    void privateMemoryOfTwoProcessesIsApart() {
        try (EmulatedProcess other = kernel.process()) {
            long mine = process.mmap(0, 4096, RW, PRIVATE, -1, 0);
            long theirs = other.mmap(0, 4096, RW, PRIVATE, -1, 0);
            UserMappings.segment(mine, 4096).fill((byte) 1);
            assertEquals(0, UserMappings.segment(theirs, 4096).get(ValueLayout.JAVA_BYTE, 0));
            int fd = other.memfdCreate("x", 0);
            assertEquals(-Errno.EBADF, process.close(fd), "descriptors belong to a process");
            assertEquals(-Errno.ENOMEM, process.mmap(theirs, 4096, RW, PRIVATE | Linux.MAP_FIXED, -1, 0));
            assertEquals(0, process.munmap(theirs, 4096));
            assertEquals(0, UserMappings.segment(theirs, 4096).get(ValueLayout.JAVA_BYTE, 0));
        }
    }

    @Test
    void everyAllocationCanFail() {
        for (int allowed = 0; ; allowed++) {
            AtomicInteger left = new AtomicInteger(allowed);
            boolean failed = false;
            try (EmulatedKernel poor = new EmulatedKernel(
                    KernelProfile.linux7_2(), new HostSyscalls(), 1L << 20, what -> left.getAndDecrement() > 0)) {
                try (EmulatedProcess one = poor.process()) {
                    int fd = one.memfdCreate("x", 0);
                    failed |= fd < 0;
                    failed |= one.ftruncate(fd, 1 << 20) != 0;
                    long shared = one.mmap(0, 1 << 20, RW, Linux.MAP_SHARED, fd, 0);
                    failed |= Linux.isError(shared);
                    long own = one.mmap(0, 1 << 20, RW, PRIVATE, -1, 0);
                    failed |= Linux.isError(own);
                    failed |= one.eventfd(0, 0) < 0;
                }
                assertEquals(List.of(), poor.leaks(), "allowed " + allowed);
            }
            if (!failed) {
                assertTrue(allowed >= 6);
                return;
            }
        }
    }
}
