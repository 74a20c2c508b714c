// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** The same random calls on the host and on the emulated kernel must get the same answers and leave the same bytes. */
@Surface("process")
final class RandomCallsTest {
    private static final int STEPS = 1500;
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final long[] OFFSETS = {
        -1, 0, 1, 100, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 7 * PAGE + 9, 1L << 20, 1L << 40, Long.MAX_VALUE
    };
    private static final long[] LENGTHS = {-1, 0, 1, 10, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE, 9 * PAGE + 100, 1 << 20};
    private static final int[] FALLOCATE = {
        0, 1, 2, 3, 3, 3, 8, 9, 0x10, 0x11, 0x13, 0x20, 0x40, 0x80, 0x100, 0x80000000
    };
    private static final int[] ADVICE = {
        -1, Linux.MADV_NORMAL, 1, 2, 3, Linux.MADV_DONTNEED, Linux.MADV_DONTNEED, Linux.MADV_REMOVE, 7, 26, 4711
    };
    private static final int[] MAP_TYPES = {0, Linux.MAP_SHARED, Linux.MAP_SHARED, Linux.MAP_PRIVATE, Linux.MAP_SHARED_VALIDATE};

    /** @param copy a private mapping of a file, of which mmap(2) leaves open whether it shows later changes of the file */
    private record Area(long address, int pages, boolean copy) {}

    /** One kernel that the calls are made on, and what they answered. */
    private static final class Run {
        private final Syscalls sys;
        private final Random random;
        private final Arena arena;
        private final List<Integer> fds = new ArrayList<>();
        private final List<Area> areas = new ArrayList<>();
        private final List<String> log = new ArrayList<>();

        Run(Syscalls sys, long seed, Arena arena) {
            this.sys = sys;
            this.random = new Random(seed);
            this.arena = arena;
        }

        List<String> run() {
            for (int step = 0; step < STEPS; step++) {
                step();
            }
            areas.forEach(area -> sys.munmap(area.address(), (long) area.pages() * PAGE));
            fds.forEach(sys::close);
            return log;
        }

        private void say(String call, long answer) {
            log.add(log.size() + ": " + call + " = " + (Linux.isError(answer) ? Errno.name(answer) : answer));
        }

        private long pick(long[] values) {
            return values[random.nextInt(values.length)];
        }

        private int pick(int[] values) {
            return values[random.nextInt(values.length)];
        }

        /** The index of a file; now and then one that is not there. */
        private int file() {
            return random.nextInt(20) == 0 ? -1 : random.nextInt(Math.max(1, fds.size()));
        }

        private int fd(int file) {
            return file < 0 || file >= fds.size() ? 999_999 : fds.get(file);
        }

        private void opened(String call, int fd) {
            say(call, Math.min(fd, 0));
            if (fd >= 0) {
                fds.add(fd);
            }
        }

        private void step() {
            int file = file();
            int fd = fd(file);
            long offset = pick(OFFSETS);
            long length = pick(LENGTHS);
            int size = random.nextInt(3 * PAGE);
            switch (random.nextInt(16)) {
                case 0 -> {
                    int flags = random.nextInt(8) == 0 ? 0x100 : random.nextInt(4);
                    opened("memfd_create " + flags, fds.size() > 8 ? -1 : sys.memfdCreate("random", flags));
                }
                case 1 -> {
                    int flags = random.nextInt(2) | Linux.EFD_NONBLOCK;
                    opened("eventfd " + flags, fds.size() > 8 ? -1 : sys.eventfd(random.nextInt(3), flags));
                }
                case 2 -> {
                    if (random.nextInt(4) == 0) {
                        say("close " + file, sys.close(fd));
                        if (file >= 0 && file < fds.size()) {
                            fds.remove(file);
                        }
                    }
                }
                case 3 -> {
                    MemorySegment buffer = arena.allocate(3 * PAGE);
                    long answer = sys.pread(fd, buffer.asSlice(0, size), offset);
                    say("pread " + file + " " + size + " at " + offset, answer);
                    say("bytes", Arrays.hashCode(buffer.toArray(ValueLayout.JAVA_BYTE)));
                }
                case 4 -> say("pwrite " + file + " " + size + " at " + offset,
                        offset > 1L << 50 ? 0 : sys.pwrite(fd, data(size), offset));
                case 5 -> say("write " + file + " " + size, sys.write(fd, data(size)));
                case 6 -> {
                    MemorySegment buffer = arena.allocate(3 * PAGE);
                    say("read " + file + " " + size, sys.read(fd, buffer.asSlice(0, size)));
                    say("bytes", Arrays.hashCode(buffer.toArray(ValueLayout.JAVA_BYTE)));
                }
                case 7 -> {
                    int whence = random.nextInt(7) - 1;
                    say("lseek " + file + " " + offset + " " + whence, sys.lseek(fd, offset, whence));
                    sys.lseek(fd, random.nextInt(4 * PAGE), Linux.SEEK_SET);
                }
                case 8 -> {
                    int mode = pick(FALLOCATE);
                    say("fallocate " + file + " " + Integer.toHexString(mode) + " " + offset + " " + length,
                            sys.fallocate(fd, mode, offset, length));
                }
                case 9 -> {
                    long end = offset > 1L << 20 ? 1 << 20 : offset;
                    say("ftruncate " + file + " " + end, sys.ftruncate(fd, end));
                }
                case 10 -> {
                    if (random.nextInt(10) == 0) {
                        int seals = 1 << random.nextInt(5);
                        say("add seals " + file + " " + seals, sys.fcntl(fd, Linux.F_ADD_SEALS, seals));
                    }
                    say("seals " + file, sys.fcntl(fd, Linux.F_GET_SEALS, 0));
                }
                case 11 -> map(file, fd, offset, length);
                case 12 -> {
                    if (!areas.isEmpty() && random.nextInt(3) == 0) {
                        Area area = areas.remove(random.nextInt(areas.size()));
                        say("munmap", sys.munmap(area.address(), (long) area.pages() * PAGE));
                    }
                }
                case 13 -> {
                    if (!areas.isEmpty()) {
                        Area area = areas.get(random.nextInt(areas.size()));
                        int first = random.nextInt(area.pages());
                        int count = random.nextInt(area.pages() - first + 1);
                        int advice = pick(ADVICE);
                        int odd = random.nextInt(10) == 0 ? 1 : 0;
                        say("madvise " + advice + " " + first + " " + count + " " + odd,
                                sys.madvise(area.address() + (long) first * PAGE + odd, (long) count * PAGE, advice));
                    }
                }
                case 14 -> {
                    MemorySegment stat = arena.allocate(144, 8);
                    say("fstat " + file, sys.fstat(fd, stat));
                    say("size", stat.get(ValueLayout.JAVA_LONG, 48));
                    say("mode", stat.get(ValueLayout.JAVA_INT, 24) & 0170000);
                }
                default -> touch();
            }
        }

        private MemorySegment data(int size) {
            return arena.allocate(size).fill((byte) random.nextInt());
        }

        private void map(int file, int fd, long offset, long length) {
            boolean anonymous = random.nextInt(4) == 0;
            int flags = pick(MAP_TYPES) | (anonymous ? Linux.MAP_ANONYMOUS : 0);
            int protection = random.nextInt(4);
            if (areas.size() > 6 || length > 10 * PAGE) {
                return;
            }
            long answer = sys.mmap(0, length, protection, flags, anonymous ? -1 : fd, anonymous ? 0 : offset);
            boolean mapped = !Linux.isError(answer);
            say("mmap " + file + " " + Integer.toHexString(flags) + " " + protection + " " + length + " " + offset,
                    mapped ? 0 : answer);
            if (mapped) {
                boolean copy = !anonymous && (flags & Linux.MAP_TYPE) == Linux.MAP_PRIVATE;
                areas.add(new Area(answer, (int) ((length + PAGE - 1) / PAGE), copy));
                if (protection != 3) {
                    areas.removeLast();
                    say("munmap", sys.munmap(answer, length));
                }
            }
        }

        /** Reads, and now and then writes, the pages of an area; SIGBUS is an answer as well. */
        private void touch() {
            if (areas.isEmpty()) {
                return;
            }
            Area area = areas.get(random.nextInt(areas.size()));
            MemorySegment memory = UserMappings.segment(area.address(), (long) area.pages() * PAGE);
            int write = random.nextInt(3) == 0 ? random.nextInt(area.pages()) : -1;
            int value = random.nextInt();
            if (area.copy()) {
                return;
            }
            StringBuilder found = new StringBuilder("touch");
            for (int page = 0; page < area.pages(); page++) {
                try {
                    int now = access(memory, page, page == write, value);
                    found.append(' ').append(now);
                } catch (InternalError sigbus) {
                    found.append(" SIGBUS");
                }
            }
            say(found.toString(), 0);
        }

        private static int access(MemorySegment memory, int page, boolean write, int value) {
            if (write) {
                memory.set(ValueLayout.JAVA_INT, (long) page * PAGE, value);
            }
            return memory.get(ValueLayout.JAVA_INT, (long) page * PAGE);
        }
    }

    static LongStream seeds() {
        return LongStream.rangeClosed(1, Long.getLong("alcove.seeds", 20));
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void bothKernelsAnswerAlike(long seed) {
        List<String> host;
        List<String> emulated;
        try (Arena arena = Arena.ofConfined();
                KernelUnderTest kernel = KernelUnderTest.host()) {
            host = new Run(kernel.sys(), seed, arena).run();
        }
        try (Arena arena = Arena.ofConfined();
                KernelUnderTest kernel = KernelUnderTest.emulatedLikeReal()) {
            emulated = new Run(kernel.sys(), seed, arena).run();
        }
        for (int i = 0; i < host.size(); i++) {
            int from = Math.max(0, i - 12);
            assertEquals(host.get(i), emulated.get(i), "seed " + seed + ", after " + host.subList(from, i));
        }
        assertEquals(host.size(), emulated.size());
    }
}
