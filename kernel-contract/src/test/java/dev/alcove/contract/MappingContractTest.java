// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

/** mmap(2), munmap(2), madvise(2) of memory and files, with real accesses. */
@Surface("process")
final class MappingContractTest {
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final int PRIVATE = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
    private static final int SHARED = Linux.MAP_SHARED | Linux.MAP_ANONYMOUS;
    private static final int PUNCH = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;

    private static MemorySegment map(Syscalls sys, long pages, int flags, int fd, long offset) {
        return UserMappings.segment(ok(sys.mmap(0, pages * PAGE, RW, flags, fd, offset)), pages * PAGE);
    }

    private static int get(MemorySegment memory, long page) {
        return memory.get(ValueLayout.JAVA_INT, page * PAGE + 8);
    }

    private static void set(MemorySegment memory, long page, int value) {
        memory.set(ValueLayout.JAVA_INT, page * PAGE + 8, value);
    }

    private static void unmap(Syscalls sys, MemorySegment memory) {
        ok(sys.munmap(memory.address(), memory.byteSize()));
    }

    private static void sigbus(MemorySegment memory, long page) {
        assertThrows(InternalError.class, () -> {
            int value = get(memory, page);
            assertEquals(0, value);
        });
    }

    @EveryKernel
    void argumentsAreChecked(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("map", 0));
        int event = fd(sys.eventfd(0, 0));
        int reader = fd(sys.open("/dev/null", Linux.O_RDONLY, 0));
        fails(Errno.EINVAL, sys.mmap(0, 0, RW, PRIVATE, -1, 0));
        fails(Errno.EINVAL, sys.mmap(0, PAGE, RW, Linux.MAP_ANONYMOUS, -1, 0));
        fails(Errno.EINVAL, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, fd, 100));
        fails(Errno.EINVAL, sys.mmap(0, 0, RW, Linux.MAP_SHARED, fd, 0));
        fails(Errno.EINVAL, sys.mmap(0, PAGE, RW, 0, fd, 0));
        fails(Errno.EINVAL, sys.mmap(100, PAGE, RW, PRIVATE | Linux.MAP_FIXED, -1, 0));
        fails(Errno.ENOMEM, sys.mmap(0, 1L << 60, RW, PRIVATE, -1, 0));
        fails(Errno.ENODEV, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, event, 0));
        fails(Errno.EACCES, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, reader, 0));
        fails(Errno.EINVAL, sys.munmap(0x1001, PAGE));
        fails(Errno.EINVAL, sys.munmap(0x1000, 0));
        fails(Errno.EINVAL, sys.munmap(1L << 56, PAGE));
        sys.close(fd);
        sys.close(event);
        sys.close(reader);
    }

    @EveryKernel
    void anonymousMemoryIsZeroAndPrivate(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        for (int flags : new int[] {PRIVATE, SHARED, PRIVATE | Linux.MAP_NORESERVE}) {
            MemorySegment memory = map(sys, 4, flags, -1, 0);
            for (int page = 0; page < 4; page++) {
                assertEquals(0, get(memory, page));
                set(memory, page, page + 1);
            }
            assertEquals(4, get(memory, 3));
            unmap(sys, memory);
        }
        MemorySegment odd = UserMappings.segment(ok(sys.mmap(0, 100, RW, PRIVATE, -1, 0)), PAGE);
        set(odd, 0, 1);
        ok(sys.munmap(odd.address(), 100));
    }

    @EveryKernel
    void sharedMappingsAreAliases(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("alias", 0));
        ok(sys.ftruncate(fd, 8 * PAGE));
        MemorySegment all = map(sys, 8, Linux.MAP_SHARED, fd, 0);
        MemorySegment part = map(sys, 2, Linux.MAP_SHARED, fd, 3 * PAGE);
        set(all, 4, 77);
        assertEquals(77, get(part, 1));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(4);
            assertEquals(4, sys.pread(fd, buffer, 4 * PAGE + 8));
            assertEquals(77, buffer.get(ValueLayout.JAVA_INT, 0));
            buffer.set(ValueLayout.JAVA_INT, 0, 99);
            assertEquals(4, sys.pwrite(fd, buffer, 3 * PAGE + 8));
        }
        assertEquals(99, get(all, 3));
        ok(sys.close(fd));
        assertEquals(99, get(part, 0), "a mapping keeps the file");
        unmap(sys, all);
        unmap(sys, part);
    }

    @EveryKernel
    void aPrivateMappingKeepsItsWritesToItself(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("private", 0));
        ok(sys.ftruncate(fd, 4 * PAGE));
        MemorySegment shared = map(sys, 4, Linux.MAP_SHARED, fd, 0);
        set(shared, 2, 5);
        MemorySegment own = map(sys, 2, Linux.MAP_PRIVATE, fd, PAGE);
        assertEquals(5, get(own, 1));
        set(own, 1, 6);
        set(own, 0, 7);
        assertEquals(5, get(shared, 2));
        assertEquals(0, get(shared, 1));
        ok(sys.madvise(own.address(), 2 * PAGE, Linux.MADV_DONTNEED));
        assertEquals(5, get(own, 1), "what the file has comes back");
        unmap(sys, own);
        unmap(sys, shared);
        sys.close(fd);
    }

    @EveryKernel
    void punchShowsInMappings(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("punch", 0));
        ok(sys.ftruncate(fd, 4 * PAGE));
        MemorySegment memory = map(sys, 4, Linux.MAP_SHARED, fd, 0);
        for (int page = 0; page < 4; page++) {
            set(memory, page, 1);
        }
        ok(sys.fallocate(fd, PUNCH, PAGE, 2 * PAGE));
        assertEquals(1, get(memory, 0));
        assertEquals(0, get(memory, 1));
        set(memory, 2, 2);
        assertEquals(2, get(memory, 2));
        unmap(sys, memory);
        sys.close(fd);
    }

    @EveryKernel
    void pastTheEndOfTheFileIsSigbus(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("sigbus", 0));
        ok(sys.ftruncate(fd, 2 * PAGE + 10));
        MemorySegment memory = map(sys, 6, Linux.MAP_SHARED, fd, 0);
        set(memory, 2, 3);
        sigbus(memory, 3);
        ok(sys.ftruncate(fd, 4 * PAGE));
        set(memory, 3, 9);
        ok(sys.ftruncate(fd, PAGE));
        sigbus(memory, 1);
        ok(sys.ftruncate(fd, 4 * PAGE));
        assertEquals(0, get(memory, 3));
        unmap(sys, memory);
        MemorySegment beyond = map(sys, 1, Linux.MAP_SHARED, fd, 100 * PAGE);
        sigbus(beyond, 0);
        unmap(sys, beyond);
        sys.close(fd);
    }

    @EveryKernel
    void unmapCutsHoles(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        MemorySegment memory = map(sys, 8, PRIVATE, -1, 0);
        for (int page = 0; page < 8; page++) {
            set(memory, page, page);
        }
        ok(sys.munmap(memory.address() + 2 * PAGE, PAGE));
        ok(sys.munmap(memory.address() + 5 * PAGE, 2 * PAGE));
        assertEquals(1, get(memory, 1));
        assertEquals(3, get(memory, 3));
        assertEquals(7, get(memory, 7));
        ok(sys.munmap(memory.address() + 2 * PAGE, PAGE));
        fails(Errno.ENOMEM, sys.madvise(memory.address(), 8 * PAGE, Linux.MADV_DONTNEED));
        assertEquals(0, get(memory, 7), "the parts that are mapped were advised");
        long again = sys.mmap(memory.address() + 2 * PAGE, PAGE, RW, PRIVATE | Linux.MAP_FIXED_NOREPLACE, -1, 0);
        assertEquals(memory.address() + 2 * PAGE, again);
        assertEquals(0, get(memory, 2));
        unmap(sys, memory);
    }

    @EveryKernel
    void fixedReplacesUnlessItMustNot(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("fixed", 0));
        ok(sys.ftruncate(fd, 2 * PAGE));
        MemorySegment file = map(sys, 2, Linux.MAP_SHARED, fd, 0);
        set(file, 1, 42);
        MemorySegment memory = map(sys, 4, PRIVATE, -1, 0);
        set(memory, 0, 1);
        set(memory, 1, 1);
        long middle = memory.address() + PAGE;
        fails(Errno.EEXIST, sys.mmap(middle, PAGE, RW, Linux.MAP_SHARED | Linux.MAP_FIXED_NOREPLACE, fd, PAGE));
        assertEquals(middle, sys.mmap(middle, PAGE, RW, Linux.MAP_SHARED | Linux.MAP_FIXED, fd, PAGE));
        assertEquals(1, get(memory, 0));
        assertEquals(42, get(memory, 1));
        set(memory, 1, 43);
        assertEquals(43, get(file, 1));
        MemorySegment elsewhere = UserMappings.segment(ok(sys.mmap(middle, PAGE, RW, PRIVATE, -1, 0)), PAGE);
        assertNotEquals(middle, elsewhere.address(), "a hint replaces nothing");
        unmap(sys, elsewhere);
        unmap(sys, memory);
        unmap(sys, file);
        sys.close(fd);
    }

    @EveryKernel
    void adviceOnMemory(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        MemorySegment own = map(sys, 4, PRIVATE, -1, 0);
        MemorySegment shared = map(sys, 4, SHARED, -1, 0);
        for (int page = 0; page < 4; page++) {
            set(own, page, 1);
            set(shared, page, 1);
        }
        ok(sys.madvise(own.address() + PAGE, 2 * PAGE, Linux.MADV_DONTNEED));
        assertEquals(1, get(own, 0));
        assertEquals(0, get(own, 1));
        ok(sys.madvise(shared.address(), 4 * PAGE, Linux.MADV_DONTNEED));
        assertEquals(1, get(shared, 1), "shared memory is kept");
        ok(sys.madvise(shared.address() + PAGE, PAGE, Linux.MADV_REMOVE));
        assertEquals(0, get(shared, 1));
        assertEquals(1, get(shared, 2));
        fails(Errno.EINVAL, sys.madvise(own.address(), PAGE, Linux.MADV_REMOVE));
        fails(Errno.EINVAL, sys.madvise(own.address() + 1, PAGE, Linux.MADV_DONTNEED));
        fails(Errno.EINVAL, sys.madvise(own.address(), PAGE, 4711));
        fails(Errno.EINVAL, sys.madvise(own.address(), -1, Linux.MADV_DONTNEED));
        ok(sys.madvise(own.address(), 0, Linux.MADV_DONTNEED));
        ok(sys.madvise(own.address(), 4 * PAGE, Linux.MADV_NORMAL));
        unmap(sys, own);
        unmap(sys, shared);
    }

    @EveryKernel
    void removeNeedsAWritableSharedMapping(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("remove", 0));
        ok(sys.ftruncate(fd, 4 * PAGE));
        MemorySegment memory = map(sys, 4, Linux.MAP_SHARED, fd, 0);
        set(memory, 1, 1);
        set(memory, 2, 1);
        ok(sys.madvise(memory.address() + PAGE, PAGE, Linux.MADV_REMOVE));
        assertEquals(0, get(memory, 1));
        assertEquals(1, get(memory, 2));
        MemorySegment own = map(sys, 1, Linux.MAP_PRIVATE, fd, 0);
        fails(Errno.EACCES, sys.madvise(own.address(), PAGE, Linux.MADV_REMOVE));
        unmap(sys, own);
        unmap(sys, memory);
        sys.close(fd);
    }

    @EveryKernel
    void aBufferInMappedMemoryThatCannotBeTouched(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("efault", 0));
        MemorySegment memory = map(sys, 1, Linux.MAP_SHARED, fd, 0);
        int event = fd(sys.eventfd(3, 0));
        fails(Errno.EFAULT, sys.write(event, memory.asSlice(0, 8)));
        unmap(sys, memory);
        sys.close(event);
        sys.close(fd);
    }

    @EveryKernel
    void populateTellsWhichPagesCannotBeHad(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        MemorySegment memory = map(sys, 4, PRIVATE, -1, 0);
        long address = memory.address();
        kernel.needs("MADV_POPULATE_READ", sys.madvise(address, PAGE, Linux.MADV_POPULATE_READ));
        ok(sys.madvise(address, 4 * PAGE, Linux.MADV_POPULATE_WRITE));
        ok(sys.mmap(address + PAGE, PAGE, Linux.PROT_READ, PRIVATE | Linux.MAP_FIXED, -1, 0));
        ok(sys.madvise(address, 4 * PAGE, Linux.MADV_POPULATE_READ));
        fails(Errno.EINVAL, sys.madvise(address, 4 * PAGE, Linux.MADV_POPULATE_WRITE));
        ok(sys.mmap(address + PAGE, PAGE, Linux.PROT_NONE, PRIVATE | Linux.MAP_FIXED, -1, 0));
        fails(Errno.EINVAL, sys.madvise(address, 4 * PAGE, Linux.MADV_POPULATE_READ));
        ok(sys.munmap(address + PAGE, PAGE));
        fails(Errno.ENOMEM, sys.madvise(address, 4 * PAGE, Linux.MADV_POPULATE_READ));
        int fd = fd(sys.memfdCreate("short", 0));
        ok(sys.ftruncate(fd, PAGE));
        ok(sys.mmap(address, 2 * PAGE, RW, Linux.MAP_SHARED | Linux.MAP_FIXED, fd, 0));
        ok(sys.madvise(address, PAGE, Linux.MADV_POPULATE_READ));
        fails(Errno.EFAULT, sys.madvise(address, 2 * PAGE, Linux.MADV_POPULATE_READ));
        ok(sys.close(fd));
        unmap(sys, memory);
    }

    @EveryKernel
    void removeAsksHowTheFileWasOpened(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int fd = fd(sys.memfdCreate("remove", 0));
        ok(sys.ftruncate(fd, 2 * PAGE));
        MemorySegment both = map(sys, 2, Linux.MAP_SHARED, fd, 0);
        set(both, 0, 1);
        set(both, 1, 2);
        unmap(sys, both);
        long address = ok(sys.mmap(0, 2 * PAGE, Linux.PROT_READ, Linux.MAP_SHARED, fd, 0));
        ok(sys.madvise(address, PAGE, Linux.MADV_REMOVE));
        assertEquals(PAGE, sys.lseek(fd, 0, Linux.SEEK_DATA));
        ok(sys.munmap(address, 2 * PAGE));
        address = ok(sys.mmap(0, 2 * PAGE, RW, Linux.MAP_PRIVATE, fd, 0));
        fails(Errno.EACCES, sys.madvise(address, PAGE, Linux.MADV_REMOVE));
        ok(sys.munmap(address, 2 * PAGE));
        ok(sys.close(fd));
    }

    @EveryKernel
    void aFileWithoutAPathIsNotExecutable(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int event = fd(sys.eventfd(0, 0));
        int memory = fd(sys.memfdCreate("code", 0));
        ok(sys.ftruncate(memory, PAGE));
        fails(Errno.ENODEV, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, event, 0));
        int without = KvmMachine.before(sys, 6, 16) ? Errno.ENODEV : Errno.EPERM;
        fails(without, sys.mmap(0, PAGE, RW | Linux.PROT_EXEC, Linux.MAP_SHARED, event, 0));
        long code = ok(sys.mmap(0, PAGE, Linux.PROT_READ | Linux.PROT_EXEC, Linux.MAP_SHARED, memory, 0));
        ok(sys.munmap(code, PAGE));
        ok(sys.close(event));
        ok(sys.close(memory));
    }

    @EveryKernel
    void onlyFilesOfMemoryHaveALargestOffset(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        int event = fd(sys.eventfd(0, 0));
        int memory = fd(sys.memfdCreate("offset", 0));
        fails(Errno.EOVERFLOW, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, memory, Long.MIN_VALUE));
        fails(Errno.EOVERFLOW, sys.mmap(0, PAGE, RW, 0, memory, Long.MIN_VALUE));
        fails(Errno.ENODEV, sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, event, Long.MIN_VALUE));
        fails(Errno.EINVAL, sys.mmap(0, PAGE, RW, 0, event, Long.MIN_VALUE));
        fails(Errno.EOVERFLOW, sys.mmap(0, PAGE - 1, RW, Linux.MAP_SHARED, event, -PAGE));
        long anywhere = ok(sys.mmap(0, PAGE, RW, PRIVATE, -1, -PAGE));
        ok(sys.munmap(anywhere, PAGE));
        ok(sys.close(event));
        ok(sys.close(memory));
    }
}
