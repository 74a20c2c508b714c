// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** memfd_create(2), and what can be done to such a file. */
@Surface("process")
final class MemfdContractTest {
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final int PUNCH = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;
    private static final int SEAL_SEAL = 1;
    private static final int SEAL_SHRINK = 2;
    private static final int SEAL_GROW = 4;
    private static final int SEAL_WRITE = 8;
    private static final int SEAL_FUTURE_WRITE = 16;

    private static long size(Syscalls sys, int fd, Arena arena) {
        MemorySegment stat = arena.allocate(144, 8);
        ok(sys.fstat(fd, stat));
        return stat.get(ValueLayout.JAVA_LONG, 48);
    }

    private static byte[] contents(Syscalls sys, int fd, long offset, int length, Arena arena) {
        MemorySegment buffer = arena.allocate(length);
        long done = ok(sys.pread(fd, buffer, offset));
        return Arrays.copyOf(buffer.toArray(ValueLayout.JAVA_BYTE), (int) done);
    }

    private static void fill(Syscalls sys, int fd, long offset, int length, int value, Arena arena) {
        assertEquals(length, sys.pwrite(fd, arena.allocate(length).fill((byte) value), offset));
    }

    private static byte[] bytes(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    @EveryKernel
    void creationChecksNameAndFlags(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        fails(Errno.EINVAL, sys.memfdCreate("x", 0x4000_0000));
        fails(Errno.EINVAL, sys.memfdCreate("x".repeat(250), 0));
        int fd = fd(sys.memfdCreate("x".repeat(249), Linux.MFD_CLOEXEC));
        assertEquals(Linux.O_RDWR | Linux.O_LARGEFILE, sys.fcntl(fd, Linux.F_GETFL, 0));
        assertEquals(Linux.FD_CLOEXEC, sys.fcntl(fd, Linux.F_GETFD, 0));
        assertEquals(0, sys.close(fd));
        fails(Errno.EBADF, sys.close(fd));
    }

    @EveryKernel
    void readAndWriteMoveThePosition(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("rw", 0));
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(6000, sys.write(fd, arena.allocate(6000).fill((byte) 7)));
            assertEquals(6000, size(sys, fd, arena));
            assertEquals(6000, sys.lseek(fd, 0, Linux.SEEK_CUR));
            assertEquals(0, sys.read(fd, arena.allocate(10)));
            assertEquals(5990, sys.lseek(fd, -10, Linux.SEEK_END));
            MemorySegment buffer = arena.allocate(100);
            assertEquals(10, sys.read(fd, buffer));
            assertEquals(7, buffer.get(ValueLayout.JAVA_BYTE, 9));
            fails(Errno.EINVAL, sys.lseek(fd, -1, Linux.SEEK_SET));
            fails(Errno.EINVAL, sys.lseek(fd, 0, 99));
            fails(Errno.EINVAL, sys.pread(fd, buffer, -1));
            fails(Errno.EINVAL, sys.pwrite(fd, buffer, -1));
            assertEquals(0, sys.pread(fd, buffer, 6000));
            assertEquals(0, sys.pread(fd, buffer, 1L << 40));
        }
        sys.close(fd);
    }

    @EveryKernel
    void truncateZeroesWhatItCutOff(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("cut", 0));
        try (Arena arena = Arena.ofConfined()) {
            fill(sys, fd, 0, 3 * PAGE, 5, arena);
            ok(sys.ftruncate(fd, 1000));
            ok(sys.ftruncate(fd, 3 * PAGE));
            byte[] expected = new byte[3 * PAGE];
            Arrays.fill(expected, 0, 1000, (byte) 5);
            assertArrayEquals(expected, contents(sys, fd, 0, 4 * PAGE, arena));
            fails(Errno.EINVAL, sys.ftruncate(fd, -1));
            ok(sys.ftruncate(fd, 1L << 40));
            assertEquals(1L << 40, size(sys, fd, arena));
            fill(sys, fd, (1L << 40) - 8, 8, 9, arena);
            assertArrayEquals(bytes(8, 9), contents(sys, fd, (1L << 40) - 8, 100, arena));
        }
        sys.close(fd);
    }

    @EveryKernel
    void fallocateChecksComeInOrder(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("falloc", 0));
        int event = fd(sys.eventfd(0, 0));
        fails(Errno.EBADF, sys.fallocate(999_999, 0, 0, 0));
        fails(Errno.EINVAL, sys.fallocate(fd, 0, -1, PAGE));
        fails(Errno.EINVAL, sys.fallocate(fd, 0, 0, 0));
        fails(Errno.EINVAL, sys.fallocate(fd, 0x4000, 0, -1));
        fails(Errno.EOPNOTSUPP, sys.fallocate(fd, 0x4000, 0, PAGE));
        fails(Errno.EOPNOTSUPP, sys.fallocate(fd, Linux.FALLOC_FL_PUNCH_HOLE, 0, PAGE));
        fails(Errno.EOPNOTSUPP, sys.fallocate(fd, Linux.FALLOC_FL_ZERO_RANGE, 0, PAGE));
        fails(Errno.EOPNOTSUPP, sys.fallocate(fd, Linux.FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
        fails(Errno.EOPNOTSUPP, sys.fallocate(fd, PUNCH | Linux.FALLOC_FL_ZERO_RANGE, 0, PAGE));
        fails(Errno.EFBIG, sys.fallocate(fd, PUNCH, Long.MAX_VALUE, Long.MAX_VALUE));
        fails(Errno.ENODEV, sys.fallocate(event, 0, 0, PAGE));
        fails(Errno.ENODEV, sys.fallocate(event, PUNCH, Long.MAX_VALUE, Long.MAX_VALUE));
        ok(sys.fallocate(fd, PUNCH, 1L << 40, PAGE));
        sys.close(event);
        sys.close(fd);
    }

    @EveryKernel
    void fallocateGrowsUnlessToldNotTo(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("grow", 0));
        try (Arena arena = Arena.ofConfined()) {
            ok(sys.fallocate(fd, 0, 100, 5000));
            assertEquals(5100, size(sys, fd, arena));
            MemorySegment stat = arena.allocate(144, 8);
            ok(sys.fstat(fd, stat));
            assertEquals(16, stat.get(ValueLayout.JAVA_LONG, 64), "blocks of 512 bytes");
            ok(sys.fallocate(fd, Linux.FALLOC_FL_KEEP_SIZE, 0, 10 * PAGE));
            assertEquals(5100, size(sys, fd, arena));
            assertArrayEquals(new byte[5100], contents(sys, fd, 0, 6000, arena));
        }
        sys.close(fd);
    }

    @EveryKernel
    void punchFreesWholePagesAndZeroesTheRest(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("punch", 0));
        try (Arena arena = Arena.ofConfined()) {
            fill(sys, fd, 0, 8 * PAGE, 3, arena);
            ok(sys.fallocate(fd, PUNCH, PAGE + 100, 3 * PAGE));
            byte[] expected = bytes(8 * PAGE, 3);
            Arrays.fill(expected, PAGE + 100, 4 * PAGE + 100, (byte) 0);
            assertArrayEquals(expected, contents(sys, fd, 0, 8 * PAGE, arena));
            MemorySegment stat = arena.allocate(144, 8);
            ok(sys.fstat(fd, stat));
            assertEquals(6 * 8, stat.get(ValueLayout.JAVA_LONG, 64), "blocks of 512 bytes");
            ok(sys.fallocate(fd, PUNCH, 5 * PAGE + 10, 20));
            Arrays.fill(expected, 5 * PAGE + 10, 5 * PAGE + 30, (byte) 0);
            assertArrayEquals(expected, contents(sys, fd, 0, 8 * PAGE, arena));
            ok(sys.fallocate(fd, PUNCH, 7 * PAGE, 100L * PAGE));
            assertEquals(8 * PAGE, size(sys, fd, arena));
        }
        sys.close(fd);
    }

    @EveryKernel
    void seekFindsDataAndHoles(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("seek", 0));
        try (Arena arena = Arena.ofConfined()) {
            ok(sys.ftruncate(fd, 10 * PAGE + 5));
            fails(Errno.ENXIO, sys.lseek(fd, 0, Linux.SEEK_DATA));
            assertEquals(0, sys.lseek(fd, 0, Linux.SEEK_HOLE));
            fill(sys, fd, 3 * PAGE, 2 * PAGE, 1, arena);
            assertEquals(3 * PAGE, sys.lseek(fd, 0, Linux.SEEK_DATA));
            assertEquals(3 * PAGE + 7, sys.lseek(fd, 3 * PAGE + 7, Linux.SEEK_DATA));
            assertEquals(5 * PAGE, sys.lseek(fd, 3 * PAGE, Linux.SEEK_HOLE));
            fails(Errno.ENXIO, sys.lseek(fd, 5 * PAGE, Linux.SEEK_DATA));
            fails(Errno.ENXIO, sys.lseek(fd, 10 * PAGE + 5, Linux.SEEK_HOLE));
            fill(sys, fd, 10 * PAGE, 5, 1, arena);
            assertEquals(10 * PAGE + 5, sys.lseek(fd, 10 * PAGE, Linux.SEEK_HOLE));
        }
        sys.close(fd);
    }

    @EveryKernel
    void whatIsAllocatedTwiceIsData(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("twice", 0));
        try (Arena arena = Arena.ofConfined()) {
            ok(sys.ftruncate(fd, 16 * PAGE));
            ok(sys.fallocate(fd, Linux.FALLOC_FL_KEEP_SIZE, 4 * PAGE, 4 * PAGE));
            fails(Errno.ENXIO, sys.lseek(fd, 0, Linux.SEEK_DATA));
            ok(sys.fallocate(fd, 0, 6 * PAGE, 6 * PAGE));
            assertEquals(6 * PAGE, sys.lseek(fd, 0, Linux.SEEK_DATA));
            assertEquals(8 * PAGE, sys.lseek(fd, 6 * PAGE, Linux.SEEK_HOLE));
            assertEquals(8 * 8, blocks(sys, fd, arena));
        }
        ok(sys.close(fd));
    }

    @EveryKernel
    void pagesFarPastTheEndAreCounted(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("far", 0));
        try (Arena arena = Arena.ofConfined()) {
            ok(sys.ftruncate(fd, 4 * PAGE));
            ok(sys.fallocate(fd, Linux.FALLOC_FL_KEEP_SIZE, 1L << 40, 3 * PAGE));
            assertEquals(3 * 8, blocks(sys, fd, arena));
            assertEquals(4 * PAGE, size(sys, fd, arena));
            ok(sys.fallocate(fd, PUNCH, (1L << 40) + PAGE, PAGE));
            assertEquals(2 * 8, blocks(sys, fd, arena));
        }
        ok(sys.close(fd));
    }

    @EveryKernel
    void touchesOfAPrivateMappingTakeTheFilesPages(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("private", 0));
        try (Arena arena = Arena.ofConfined()) {
            ok(sys.ftruncate(fd, 16 * PAGE));
            fill(sys, fd, 15 * PAGE, PAGE, 1, arena);
            long address = sys.mmap(
                    0, 8 * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE, fd, 4 * PAGE);
            ok(address);
            MemorySegment mapping = UserMappings.segment(address, 8 * PAGE);
            assertEquals(8, blocks(sys, fd, arena));
            mapping.set(ValueLayout.JAVA_BYTE, 2 * PAGE, (byte) 7);
            assertEquals(0, mapping.get(ValueLayout.JAVA_BYTE, 5 * PAGE));
            assertEquals(3 * 8, blocks(sys, fd, arena));
            assertEquals(6 * PAGE, sys.lseek(fd, 0, Linux.SEEK_DATA));
            assertEquals(7 * PAGE, sys.lseek(fd, 6 * PAGE, Linux.SEEK_HOLE));
            assertEquals(9 * PAGE, sys.lseek(fd, 7 * PAGE, Linux.SEEK_DATA));
            assertArrayEquals(new byte[PAGE], contents(sys, fd, 6 * PAGE, PAGE, arena), "the write is the mapping's own");
            ok(sys.fallocate(fd, PUNCH, 0, 15 * PAGE));
            assertEquals(8, blocks(sys, fd, arena));
            assertEquals(7, mapping.get(ValueLayout.JAVA_BYTE, 2 * PAGE));
            assertEquals(0, mapping.get(ValueLayout.JAVA_BYTE, 5 * PAGE));
            assertEquals(2 * 8, blocks(sys, fd, arena), "a page that was only read is taken again");
            mapping.set(ValueLayout.JAVA_BYTE, 4 * PAGE, (byte) 1);
            mapping.set(ValueLayout.JAVA_BYTE, 7 * PAGE, (byte) 1);
            ok(sys.munmap(address + 3 * PAGE, 2 * PAGE));
            assertEquals(4 * 8, blocks(sys, fd, arena));
            mapping.set(ValueLayout.JAVA_BYTE, PAGE, (byte) 1);
            ok(sys.munmap(address, 8 * PAGE));
            assertEquals(5 * 8, blocks(sys, fd, arena));
        }
        ok(sys.close(fd));
    }

    private static long blocks(Syscalls sys, int fd, Arena arena) {
        MemorySegment stat = arena.allocate(144, 8);
        ok(sys.fstat(fd, stat));
        return stat.get(ValueLayout.JAVA_LONG, 64);
    }

    @EveryKernel
    void sealsHold(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int plain = fd(sys.memfdCreate("plain", 0));
        assertEquals(SEAL_SEAL, sys.fcntl(plain, Linux.F_GET_SEALS, 0));
        fails(Errno.EPERM, sys.fcntl(plain, Linux.F_ADD_SEALS, SEAL_SHRINK));
        sys.close(plain);
        int event = fd(sys.eventfd(0, 0));
        fails(Errno.EINVAL, sys.fcntl(event, Linux.F_GET_SEALS, 0));
        sys.close(event);

        int fd = fd(sys.memfdCreate("seals", Linux.MFD_ALLOW_SEALING));
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(0, sys.fcntl(fd, Linux.F_GET_SEALS, 0));
            fails(Errno.EINVAL, sys.fcntl(fd, Linux.F_ADD_SEALS, 0x1000));
            fill(sys, fd, 0, 2 * PAGE, 1, arena);
            ok(sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_SHRINK));
            fails(Errno.EPERM, sys.ftruncate(fd, PAGE));
            ok(sys.ftruncate(fd, 2 * PAGE));
            ok(sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_GROW));
            fails(Errno.EPERM, sys.ftruncate(fd, 3 * PAGE));
            fails(Errno.EPERM, sys.fallocate(fd, 0, 0, 3 * PAGE));
            fails(Errno.EPERM, sys.pwrite(fd, arena.allocate(1), 2 * PAGE));
            // Where it stops is where the page begins that would grow the file: the large one that the cache may have.
            long across = sys.pwrite(fd, arena.allocate(2 * PAGE), PAGE);
            assertTrue(across == PAGE || across == -Errno.EPERM, "a write stops at the sealed end: " + across);
            long shared = ok(sys.mmap(0, PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, fd, 0));
            fails(Errno.EBUSY, sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_WRITE));
            ok(sys.munmap(shared, PAGE));
            ok(sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_WRITE));
            fails(Errno.EPERM, sys.pwrite(fd, arena.allocate(1), 0));
            fails(Errno.EPERM, sys.fallocate(fd, PUNCH, 0, PAGE));
            fails(Errno.EPERM, sys.mmap(0, PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, fd, 0));
            long reader = ok(sys.mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, fd, 0));
            ok(sys.munmap(reader, PAGE));
            ok(sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_SEAL));
            fails(Errno.EPERM, sys.fcntl(fd, Linux.F_ADD_SEALS, SEAL_SHRINK));
            assertEquals(15, sys.fcntl(fd, Linux.F_GET_SEALS, 0));
        }
        sys.close(fd);
    }

    @EveryKernel
    void anEmptyRangeIsPunchedUnlessTheFileIsSealed(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        for (int seal : new int[] {SEAL_WRITE, SEAL_FUTURE_WRITE}) {
            int fd = fd(sys.memfdCreate("empty", Linux.MFD_ALLOW_SEALING));
            ok(sys.ftruncate(fd, 4 * PAGE + 100));
            long[][] ranges = {{0, PAGE}, {PAGE, 4 * PAGE}, {10, 20}, {4 * PAGE, PAGE}, {64 * PAGE, PAGE}, {100, 2 * PAGE}};
            for (long[] range : ranges) {
                ok(sys.fallocate(fd, PUNCH, range[0], range[1]));
            }
            try (Arena arena = Arena.ofConfined()) {
                assertEquals(4 * PAGE + 100, size(sys, fd, arena));
            }
            ok(sys.fcntl(fd, Linux.F_ADD_SEALS, seal));
            for (long[] range : ranges) {
                fails(Errno.EPERM, sys.fallocate(fd, PUNCH, range[0], range[1]));
            }
            fails(Errno.EINVAL, sys.fallocate(fd, PUNCH, 0, 0));
            sys.close(fd);
        }
    }

    @EveryKernel
    void randomOperationsAgreeWithAnArray(KernelUnderTest kernel) {
        long seed = 0x5eed_0001;
        Random random = new Random(seed);
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("random", 0));
        byte[] model = new byte[0];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(20 * PAGE);
            for (int step = 0; step < 400; step++) {
                int offset = random.nextInt(16 * PAGE);
                int length = 1 + random.nextInt(4 * PAGE);
                switch (random.nextInt(4)) {
                    case 0 -> {
                        byte value = (byte) random.nextInt();
                        ok(sys.pwrite(fd, buffer.asSlice(0, length).fill(value), offset));
                        model = model.length < offset + length ? Arrays.copyOf(model, offset + length) : model;
                        Arrays.fill(model, offset, offset + length, value);
                    }
                    case 1 -> {
                        ok(sys.ftruncate(fd, offset));
                        model = Arrays.copyOf(model, offset);
                    }
                    case 2 -> {
                        ok(sys.fallocate(fd, PUNCH, offset, length));
                        int end = Math.min(model.length, offset + length);
                        if (offset < end) {
                            Arrays.fill(model, offset, end, (byte) 0);
                        }
                    }
                    default -> {
                        ok(sys.fallocate(fd, 0, offset, length));
                        model = model.length < offset + length ? Arrays.copyOf(model, offset + length) : model;
                    }
                }
                long done = ok(sys.pread(fd, buffer, 0));
                String where = "seed " + seed + ", step " + step;
                assertEquals(model.length, done, where);
                assertTrue(
                        Arrays.equals(model, buffer.asSlice(0, done).toArray(ValueLayout.JAVA_BYTE)),
                        () -> where + ": contents differ");
            }
        }
        sys.close(fd);
    }

    @EveryKernel
    void pagesPastTheEndCount(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = Checks.fd(sys.memfdCreate("past", 0));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment stat = arena.allocate(144, 8);
            ok(sys.ftruncate(fd, 4096));
            ok(sys.fallocate(fd, Linux.FALLOC_FL_KEEP_SIZE, 0, 4 * 4096));
            ok(sys.fstat(fd, stat));
            assertEquals(0, stat.get(ValueLayout.JAVA_LONG, 16), "names");
            assertEquals(4096, stat.get(ValueLayout.JAVA_LONG, 48), "size");
            assertEquals(4 * 8, stat.get(ValueLayout.JAVA_LONG, 64), "blocks");
            ok(sys.fallocate(fd, Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE, 4096, 4096));
            ok(sys.ftruncate(fd, 3 * 4096));
            ok(sys.fstat(fd, stat));
            assertEquals(3 * 8, stat.get(ValueLayout.JAVA_LONG, 64), "blocks after a hole and growth");
            ok(sys.ftruncate(fd, 3 * 4096));
            ok(sys.fstat(fd, stat));
            assertEquals(2 * 8, stat.get(ValueLayout.JAVA_LONG, 64), "blocks after a truncation to the same size");
        }
        ok(sys.close(fd));
    }
}
