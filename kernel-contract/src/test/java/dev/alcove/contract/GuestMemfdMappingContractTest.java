// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

/** mmap of a guest_memfd, and what user space finds there. */
@Surface("guest_memfd")
@Timeout(60)
final class GuestMemfdMappingContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int PAGES = 8;
    private static final long MMAP = KvmMachine.FLAG_MMAP;
    private static final long SHARED = MMAP | KvmMachine.FLAG_INIT_SHARED;
    private static final int RW = KvmMachine.RW;

    /** A file of eight pages. */
    private static final class File implements AutoCloseable {
        final KvmMachine m;
        final int g;

        File(KernelUnderTest kernel, long flags) {
            m = KvmMachine.withGmem(kernel, flags);
            g = m.own(m.gmem(PAGES * PAGE, flags));
        }

        MemorySegment map(long pages) {
            return m.map(pages, Linux.MAP_SHARED, g);
        }

        long mmap(int protection, int flags, long offset) {
            return m.sys.mmap(0, PAGE, protection, flags, g, offset);
        }

        @Override
        public void close() {
            m.close();
        }
    }

    private static void raisesSigbus(MemorySegment memory, long page) {
        assertThrows(InternalError.class, () -> {
            int value = memory.get(ValueLayout.JAVA_INT, page * PAGE);
            assertEquals(0, value);
        });
    }

    private static void put(MemorySegment memory, long page, int value) {
        memory.set(ValueLayout.JAVA_INT, page * PAGE, value);
    }

    private static int get(MemorySegment memory, long page) {
        return memory.get(ValueLayout.JAVA_INT, page * PAGE);
    }

    @EveryKernel
    void needsItsFlag(KernelUnderTest kernel) {
        try (File f = new File(kernel, 0)) {
            fails(Errno.ENODEV, f.mmap(RW, Linux.MAP_SHARED, 0));
            fails(Errno.ENODEV, f.mmap(RW, Linux.MAP_PRIVATE, 0));
            fails(Errno.ENODEV, f.mmap(Linux.PROT_NONE, Linux.MAP_SHARED, 0));
        }
    }

    @EveryKernel
    void initSharedAloneIsNotMapped(KernelUnderTest kernel) {
        try (File f = new File(kernel, KvmMachine.FLAG_INIT_SHARED)) {
            fails(Errno.ENODEV, f.mmap(RW, Linux.MAP_SHARED, 0));
        }
    }

    @EveryKernel
    void isSharedOnly(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            fails(Errno.EINVAL, f.mmap(RW, Linux.MAP_PRIVATE, 0));
            fails(Errno.EINVAL, f.mmap(Linux.PROT_READ, Linux.MAP_PRIVATE, 0));
            long at = ok(f.mmap(RW, Linux.MAP_SHARED_VALIDATE, 0));
            ok(f.m.sys.munmap(at, PAGE));
        }
    }

    @EveryKernel
    void isAligned(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            fails(Errno.EINVAL, f.mmap(RW, Linux.MAP_SHARED, 1));
            fails(Errno.EINVAL, f.mmap(RW, Linux.MAP_SHARED, 0x800));
        }
    }

    @EveryKernel
    void isNotExecuted(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            fails(Errno.EPERM, f.mmap(RW | Linux.PROT_EXEC, Linux.MAP_SHARED, 0));
            fails(Errno.EPERM, f.mmap(Linux.PROT_EXEC, Linux.MAP_PRIVATE, 0));
        }
    }

    @EveryKernel
    void thatCannotBeIsNotExecutedEither(KernelUnderTest kernel) {
        try (File f = new File(kernel, 0)) {
            int errno = KvmMachine.before(f.m.sys, 6, 18) ? Errno.ENODEV : Errno.EPERM;
            fails(errno, f.mmap(RW | Linux.PROT_EXEC, Linux.MAP_SHARED, 0));
        }
    }

    @EveryKernel
    void mayBeLongerThanTheFile(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment all = f.map(4 * PAGES);
            put(all, PAGES - 1, 5);
            raisesSigbus(all, PAGES);
            raisesSigbus(all, 4 * PAGES - 1);
            assertEquals(5, get(all, PAGES - 1));
        }
    }

    @EveryKernel
    void mayBeginBehindTheFile(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            long beyond = ok(f.mmap(RW, Linux.MAP_SHARED, 100 * PAGE));
            ok(f.m.sys.munmap(beyond, PAGE));
        }
    }

    @EveryKernel
    void showsNothingThatIsNotShared(KernelUnderTest kernel) {
        try (File f = new File(kernel, MMAP)) {
            MemorySegment hidden = f.map(PAGES);
            raisesSigbus(hidden, 0);
            ok(f.m.sys.fallocate(f.g, Linux.FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE));
            raisesSigbus(hidden, 0);
            raisesSigbus(hidden, PAGES - 1);
        }
    }

    @EveryKernel
    void ofAMachineWithPrivateMemoryShowsNothing(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED).needsGmem(MMAP)) {
            int g = m.own(m.gmem(PAGES * PAGE, MMAP));
            raisesSigbus(m.map(PAGES, Linux.MAP_SHARED, g), 0);
        }
    }

    @EveryKernel
    void startsFromZero(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.map(PAGES);
            for (int page = 0; page < PAGES; page++) {
                assertEquals(0, get(memory, page));
            }
        }
    }

    @EveryKernel
    void keepsWhatIsWritten(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment first = f.map(PAGES);
            put(first, 3, 7);
            f.m.unmap(first);
            assertEquals(7, get(f.map(PAGES), 3));
        }
    }

    @EveryKernel
    void isOneMemoryForAllMappings(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment one = f.map(PAGES);
            MemorySegment two = f.map(PAGES);
            put(one, 3, 7);
            assertEquals(7, get(two, 3));
            put(two, 3, 8);
            assertEquals(8, get(one, 3));
        }
    }

    @EveryKernel
    void mayBeginInTheMiddle(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            put(f.map(PAGES), 5, 55);
            long at = ok(f.mmap(RW, Linux.MAP_SHARED, 5 * PAGE));
            assertEquals(55, UserMappings.segment(at, PAGE).get(ValueLayout.JAVA_INT, 0));
            ok(f.m.sys.munmap(at, PAGE));
        }
    }

    @EveryKernel
    void losesWhatIsPunched(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.map(PAGES);
            for (int page = 0; page < PAGES; page++) {
                put(memory, page, 1 + page);
            }
            ok(f.m.punch(f.g, 2 * PAGE, 3 * PAGE));
            int[] expected = {1, 2, 0, 0, 0, 6, 7, 8};
            for (int page = 0; page < PAGES; page++) {
                assertEquals(expected[page], get(memory, page), "page " + page);
            }
        }
    }

    @EveryKernel
    void losesWhatIsPunchedInAllMappings(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment one = f.map(PAGES);
            MemorySegment two = f.map(PAGES);
            put(one, 0, 1);
            assertEquals(1, get(two, 0));
            ok(f.m.punch(f.g, 0, PAGE));
            assertEquals(0, get(two, 0));
            put(two, 0, 2);
            assertEquals(2, get(one, 0));
        }
    }

    @EveryKernel
    void canBePunchedThroughTheMapping(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.map(PAGES);
            put(memory, 1, 1);
            put(memory, 2, 2);
            ok(f.m.sys.madvise(memory.address() + PAGE, PAGE, Linux.MADV_REMOVE));
            assertEquals(0, get(memory, 1));
            assertEquals(2, get(memory, 2));
        }
    }

    @EveryKernel
    void isNotForgottenByAdvice(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.map(PAGES);
            put(memory, 1, 2);
            ok(f.m.sys.madvise(memory.address() + PAGE, PAGE, Linux.MADV_DONTNEED));
            assertEquals(2, get(memory, 1), "the file keeps it");
        }
    }

    @EveryKernel
    void doesNotCollapse(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.map(PAGES);
            put(memory, 0, 1);
            fails(Errno.EINVAL, f.m.sys.madvise(memory.address(), PAGES * PAGE, Linux.MADV_COLLAPSE));
        }
    }

    @EveryKernel
    void canBePopulated(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            MemorySegment memory = f.m.map(PAGES, Linux.MAP_SHARED | Linux.MAP_POPULATE, f.g);
            assertEquals(0, get(memory, PAGES - 1));
        }
    }

    @EveryKernel
    void populatingWhatIsNotSharedIsNoError(KernelUnderTest kernel) {
        try (File f = new File(kernel, MMAP)) {
            raisesSigbus(f.m.map(PAGES, Linux.MAP_SHARED | Linux.MAP_POPULATE, f.g), 0);
        }
    }

    @EveryKernel
    void canBeReadInto(KernelUnderTest kernel) {
        try (File f = new File(kernel, SHARED)) {
            int memfd = f.m.own(f.m.sys.memfdCreate("source", 0));
            ok(f.m.sys.ftruncate(memfd, PAGE));
            MemorySegment source = f.m.map(1, Linux.MAP_SHARED, memfd);
            put(source, 0, 99);
            MemorySegment memory = f.map(PAGES);
            assertEquals(8, f.m.sys.pread(memfd, memory.asSlice(2 * PAGE, 8), 0));
            assertEquals(99, get(memory, 2));
        }
    }

    @EveryKernel
    void whatIsNotSharedCannotBeWrittenFrom(KernelUnderTest kernel) {
        try (File f = new File(kernel, MMAP)) {
            int memfd = f.m.own(f.m.sys.memfdCreate("target", 0));
            fails(Errno.EFAULT, f.m.sys.pwrite(memfd, f.map(PAGES).asSlice(0, 8), 0));
        }
    }
}
