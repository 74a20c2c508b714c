// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;

/** Huge pages (hugetlb): mmap(MAP_HUGETLB), memfd_create(MFD_HUGETLB), and the pool that they come from. */
@Surface("process")
final class HugetlbContractTest {
    private static final int POOL = 6;
    private static final long HUGE = 2L << 20;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final int SHARED = Linux.MAP_SHARED | Linux.MAP_ANONYMOUS | Linux.MAP_HUGETLB;
    private static final int PRIVATE = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_HUGETLB;
    private static final int PUNCH = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;
    private static final int MFD_512K = 19 << 26;
    private static final int MFD_2M = 21 << 26;
    private static final String SIZE = "/proc/sys/vm/nr_hugepages";
    private static final long GIGANTIC = 1L << 30;
    /** MAP_HUGE_1GB, MFD_HUGE_1GB. */
    private static final int SIZE_1G = 30 << 26;

    private static final String GIGANTIC_POOL = "/sys/kernel/mm/hugepages/hugepages-1048576kB/";

    private static String text(Syscalls sys, String path, Arena arena) {
        int file = fd(sys.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0));
        MemorySegment buffer = arena.allocate(1 << 13);
        long length = ok(sys.read(file, buffer));
        sys.close(file);
        return new String(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII);
    }

    private static long pool(Syscalls sys, String what, Arena arena) {
        Matcher line = Pattern.compile("HugePages_" + what + ": +(\\d+)").matcher(text(sys, "/proc/meminfo", arena));
        return line.find() ? Long.parseLong(line.group(1)) : -1;
    }

    private static void resize(Syscalls sys, int file, long pages, Arena arena) {
        byte[] text = (pages + "\n").getBytes(StandardCharsets.US_ASCII);
        MemorySegment buffer = arena.allocate(text.length).copyFrom(MemorySegment.ofArray(text));
        assertEquals(text.length, sys.write(file, buffer));
    }

    /** Runs a test with a pool of {@link #POOL} pages that nobody uses, and leaves it as it was. */
    private static void withPool(KernelUnderTest kernel, Consumer<Arena> test) {
        Syscalls sys = kernel.sys();
        int file = sys.open(SIZE, Linux.O_WRONLY | Linux.O_CLOEXEC, 0);
        kernel.needs("a pool of huge pages that the user may resize", file);
        try (Arena arena = Arena.ofConfined()) {
            long before = Long.parseLong(text(sys, SIZE, arena).strip());
            resize(sys, file, POOL, arena);
            try {
                if (pool(sys, "Free", arena) != POOL || pool(sys, "Rsvd", arena) != 0) {
                    abort("there are not " + POOL + " free huge pages to be had");
                }
                test.accept(arena);
                assertEquals(POOL, pool(sys, "Free", arena));
                assertEquals(0, pool(sys, "Rsvd", arena));
            } finally {
                resize(sys, file, before, arena);
            }
        } finally {
            sys.close(file);
        }
    }

    private static MemorySegment at(long address) {
        return UserMappings.segment(address, Long.BYTES);
    }

    private static void assertPool(Syscalls sys, long free, long reserved, Arena arena) {
        assertEquals(
                "free " + free + ", reserved " + reserved,
                "free " + pool(sys, "Free", arena) + ", reserved " + pool(sys, "Rsvd", arena));
    }

    @EveryKernel
    void mappingReservesAndTouchingTakes(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            for (int flags : new int[] {SHARED, PRIVATE}) {
                long address = ok(sys.mmap(0, 2 * HUGE, RW, flags, -1, 0));
                assertEquals(0, address & (HUGE - 1));
                assertPool(sys, POOL, 2, arena);
                at(address + HUGE + 0x3000).set(ValueLayout.JAVA_INT, 0, 42);
                assertPool(sys, POOL - 1, 1, arena);
                assertEquals(42, at(address + HUGE + 0x3000).get(ValueLayout.JAVA_INT, 0));
                fails(Errno.EINVAL, sys.munmap(address, Linux.PAGE_SIZE));
                fails(Errno.EINVAL, sys.munmap(address + Linux.PAGE_SIZE, HUGE));
                assertEquals(0, sys.munmap(address, 2 * HUGE));
                assertPool(sys, POOL, 0, arena);
            }
        });
    }

    @EveryKernel
    void aPartOfAPrivateMappingGoesBackToThePool(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            long address = ok(sys.mmap(0, 3 * HUGE, RW, PRIVATE, -1, 0));
            at(address).set(ValueLayout.JAVA_INT, 0, 1);
            at(address + 2 * HUGE).set(ValueLayout.JAVA_INT, 0, 3);
            assertPool(sys, POOL - 2, 1, arena);
            assertEquals(0, sys.munmap(address, HUGE));
            assertPool(sys, POOL - 1, 1, arena);
            assertEquals(3, at(address + 2 * HUGE).get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, sys.munmap(address + HUGE, 2 * HUGE));
        });
    }

    @EveryKernel
    void anEmptyPoolIsNoMemory(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            fails(Errno.ENOMEM, sys.mmap(0, (POOL + 1) * HUGE, RW, SHARED, -1, 0));
            fails(Errno.ENOMEM, sys.mmap(0, (POOL + 1) * HUGE, RW, PRIVATE, -1, 0));
            // Lengths are in whole huge pages.
            long address = ok(sys.mmap(0, POOL * HUGE - 100, RW, SHARED, -1, 0));
            fails(Errno.ENOMEM, sys.mmap(0, Linux.PAGE_SIZE, RW, PRIVATE, -1, 0));
            assertEquals(0, sys.munmap(address, POOL * HUGE));
        });
    }

    @EveryKernel
    void argumentsAreChecked(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            fails(Errno.EINVAL, sys.mmap(0, HUGE, RW, SHARED | MFD_512K, -1, 0));
            fails(Errno.ENODEV, sys.memfdCreate("huge", Linux.MFD_HUGETLB | MFD_512K));
            fails(Errno.EINVAL, sys.memfdCreate("huge", MFD_2M));
            int ordinary = fd(sys.memfdCreate("ordinary", 0));
            fails(Errno.EINVAL, sys.mmap(0, HUGE, RW, Linux.MAP_SHARED | Linux.MAP_HUGETLB, ordinary, 0));
            sys.close(ordinary);
            int file = fd(sys.memfdCreate("huge", Linux.MFD_HUGETLB | MFD_2M));
            fails(Errno.EINVAL, sys.ftruncate(file, Linux.PAGE_SIZE));
            assertEquals(0, sys.ftruncate(file, 2 * HUGE));
            fails(Errno.EINVAL, sys.mmap(0, HUGE, RW, Linux.MAP_SHARED, file, Linux.PAGE_SIZE));
            fails(Errno.EINVAL, sys.write(file, arena.allocate(8)));
            fails(Errno.EINVAL, sys.pwrite(file, arena.allocate(8), 0));
            assertEquals(8, sys.pread(file, arena.allocate(8), HUGE));
            long address = ok(sys.mmap(0, 2 * HUGE, RW, Linux.MAP_SHARED, file, 0));
            fails(Errno.EINVAL, sys.mmap(
                    address + Linux.PAGE_SIZE, HUGE, RW, Linux.MAP_SHARED | Linux.MAP_FIXED, file, 0));
            assertEquals(0, sys.munmap(address, 2 * HUGE));
            sys.close(file);
        });
    }

    @EveryKernel
    void aFileTakesPagesWhenItIsMappedOrAllocated(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            int file = fd(sys.memfdCreate("huge", Linux.MFD_HUGETLB));
            assertEquals(0, sys.ftruncate(file, 4 * HUGE));
            assertPool(sys, POOL, 0, arena);
            assertEquals(0, sys.fallocate(file, 0, HUGE, HUGE));
            assertPool(sys, POOL - 1, 0, arena);
            long address = ok(sys.mmap(0, 3 * HUGE, RW, Linux.MAP_SHARED, file, 0));
            assertPool(sys, POOL - 1, 2, arena);
            at(address).set(ValueLayout.JAVA_INT, 0, 7);
            assertEquals(0, sys.munmap(address, 3 * HUGE));
            assertPool(sys, POOL - 2, 1, arena);
            MemorySegment word = arena.allocate(ValueLayout.JAVA_INT);
            assertEquals(4, sys.pread(file, word, 0));
            assertEquals(7, word.get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, sys.fallocate(file, PUNCH, 0, HUGE));
            assertEquals(4, sys.pread(file, word, 0));
            assertEquals(0, word.get(ValueLayout.JAVA_INT, 0));
            assertEquals(POOL - 1, pool(sys, "Free", arena));
            fails(Errno.ENOSPC, sys.fallocate(file, Linux.FALLOC_FL_KEEP_SIZE, 0, (POOL + 1) * HUGE));
            assertEquals(0, sys.ftruncate(file, 0));
            assertPool(sys, POOL, 0, arena);
            sys.close(file);
        });
    }

    @EveryKernel
    void adviceIsInWholeHugePages(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withPool(kernel, arena -> {
            long address = ok(sys.mmap(0, 2 * HUGE, RW, PRIVATE, -1, 0));
            at(address).set(ValueLayout.JAVA_INT, 0, 7);
            fails(Errno.EINVAL, sys.madvise(address + Linux.PAGE_SIZE, HUGE, Linux.MADV_DONTNEED));
            assertEquals(0, sys.madvise(address, Linux.PAGE_SIZE, Linux.MADV_DONTNEED));
            assertEquals(7, at(address).get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, sys.madvise(address, HUGE + Linux.PAGE_SIZE, Linux.MADV_DONTNEED));
            assertEquals(0, at(address).get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, sys.munmap(address, 2 * HUGE));
        });
    }

    private static void assertGigantic(Syscalls sys, int free, int reserved, Arena arena) {
        assertEquals(
                "free " + free + ", reserved " + reserved,
                "free " + text(sys, GIGANTIC_POOL + "free_hugepages", arena).strip()
                        + ", reserved " + text(sys, GIGANTIC_POOL + "resv_hugepages", arena).strip());
    }

    /** Runs a test with a pool of one page of 1 GiB that nobody uses, and leaves it as it was. */
    private static void withGiganticPage(KernelUnderTest kernel, Consumer<Arena> test) {
        Syscalls sys = kernel.sys();
        int file = sys.open(GIGANTIC_POOL + "nr_hugepages", Linux.O_WRONLY | Linux.O_CLOEXEC, 0);
        kernel.needs("a pool of huge pages of 1 GiB that the user may resize", file);
        try (Arena arena = Arena.ofConfined()) {
            long before = Long.parseLong(text(sys, GIGANTIC_POOL + "nr_hugepages", arena).strip());
            resize(sys, file, 1, arena);
            try {
                if (!text(sys, GIGANTIC_POOL + "free_hugepages", arena).strip().equals("1")) {
                    abort("there is no free 1 GiB of contiguous memory to be had");
                }
                test.accept(arena);
                assertGigantic(sys, 1, 0, arena);
            } finally {
                resize(sys, file, before, arena);
            }
        } finally {
            sys.close(file);
        }
    }

    @EveryKernel
    void pagesOfAnotherSizeHaveAPoolOfTheirOwn(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withGiganticPage(kernel, arena -> {
            long total = pool(sys, "Total", arena);
            for (int flags : new int[] {SHARED | SIZE_1G, PRIVATE | SIZE_1G}) {
                long free = pool(sys, "Free", arena);
                // Lengths are in whole pages of the size.
                long address = ok(sys.mmap(0, HUGE, RW, flags, -1, 0));
                assertEquals(0, address & (GIGANTIC - 1));
                assertGigantic(sys, 1, 1, arena);
                fails(Errno.ENOMEM, sys.mmap(0, GIGANTIC, RW, flags, -1, 0));
                at(address + GIGANTIC - HUGE).set(ValueLayout.JAVA_INT, 0, 42);
                assertGigantic(sys, 0, 0, arena);
                assertEquals(42, at(address + GIGANTIC - HUGE).get(ValueLayout.JAVA_INT, 0));
                assertEquals(free, pool(sys, "Free", arena));
                fails(Errno.EINVAL, sys.munmap(address, HUGE));
                fails(Errno.EINVAL, sys.madvise(address + HUGE, GIGANTIC - HUGE, Linux.MADV_DONTNEED));
                assertEquals(0, sys.munmap(address, GIGANTIC));
                assertGigantic(sys, 1, 0, arena);
            }
            // /proc/meminfo counts pages of the default size.
            assertEquals(total, pool(sys, "Total", arena));
        });
    }

    @EveryKernel
    void aFileHasPagesOfOneSize(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        withGiganticPage(kernel, arena -> {
            int file = fd(sys.memfdCreate("gigantic", Linux.MFD_HUGETLB | SIZE_1G));
            fails(Errno.EINVAL, sys.ftruncate(file, HUGE));
            assertEquals(0, sys.ftruncate(file, GIGANTIC));
            fails(Errno.EINVAL, sys.mmap(0, GIGANTIC, RW, Linux.MAP_SHARED, file, HUGE));
            assertGigantic(sys, 1, 0, arena);
            long address = ok(sys.mmap(0, GIGANTIC, RW, Linux.MAP_SHARED, file, 0));
            assertEquals(0, address & (GIGANTIC - 1));
            fails(Errno.EINVAL, sys.mmap(
                    address + HUGE, GIGANTIC, RW, Linux.MAP_SHARED | Linux.MAP_FIXED, file, 0));
            assertGigantic(sys, 1, 1, arena);
            at(address + HUGE).set(ValueLayout.JAVA_INT, 0, 7);
            assertEquals(0, sys.munmap(address, GIGANTIC));
            assertGigantic(sys, 0, 0, arena);
            MemorySegment word = arena.allocate(ValueLayout.JAVA_INT);
            assertEquals(4, sys.pread(file, word, HUGE));
            assertEquals(7, word.get(ValueLayout.JAVA_INT, 0));
            assertEquals(0, sys.ftruncate(file, 0));
            assertGigantic(sys, 1, 0, arena);
            sys.close(file);
        });
    }
}
