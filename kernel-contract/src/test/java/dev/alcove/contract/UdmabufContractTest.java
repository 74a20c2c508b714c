// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.dmabuf.udmabuf_create;
import dev.alcove.bindings.dmabuf.udmabuf_create_item;
import dev.alcove.bindings.dmabuf.udmabuf_create_list;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** /dev/udmabuf: a dma-buf of pages of memfds. */
@Surface("dma-buf")
final class UdmabufContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final int CREATE = 0x4018_7542;
    private static final int CREATE_LIST = 0x4008_7543;
    private static final int SEAL_SHRINK = 2;
    private static final int SEAL_GROW = 4;
    private static final int SEAL_WRITE = 8;
    private static final int SEAL_FUTURE_WRITE = 0x10;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;

    /** The device with a memfd of eight pages that cannot shrink; page n starts with the number n. */
    private static final class Device implements AutoCloseable {
        final Syscalls sys;
        final UserArena user;
        final int fd;
        final int memory;
        private final List<Integer> files = new ArrayList<>();

        Device(KernelUnderTest kernel) {
            sys = kernel.sys();
            fd = own(kernel.open("/dev/udmabuf"));
            user = new UserArena(sys, 1 << 20);
            memory = memfd(8, SEAL_SHRINK);
            for (int page = 0; page < 8; page++) {
                MemorySegment number = user.allocate(4, 8);
                number.set(ValueLayout.JAVA_INT, 0, page);
                ok(sys.pwrite(memory, number, page * PAGE));
            }
        }

        int own(int file) {
            files.add((int) ok(file));
            return file;
        }

        int memfd(long pages, int seals) {
            int file = own(sys.memfdCreate("udmabuf", Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING));
            ok(sys.ftruncate(file, pages * PAGE));
            ok(sys.fcntl(file, Linux.F_ADD_SEALS, seals));
            return file;
        }

        int create(int file, int flags, long offset, long size) {
            MemorySegment struct = user.allocate(udmabuf_create.sizeof(), 8);
            udmabuf_create.memfd(struct, file);
            udmabuf_create.flags(struct, flags);
            udmabuf_create.offset(struct, offset);
            udmabuf_create.size(struct, size);
            return sys.ioctl(fd, CREATE, struct);
        }

        /** @param items file, offset and size, in turn */
        int createList(int count, long... items) {
            long each = udmabuf_create_item.sizeof();
            MemorySegment struct = user.allocate(udmabuf_create_list.sizeof() + each * (items.length / 3), 8);
            udmabuf_create_list.count(struct, count);
            for (int i = 0; i < items.length / 3; i++) {
                MemorySegment item = struct.asSlice(udmabuf_create_list.sizeof() + i * each, each);
                udmabuf_create_item.memfd(item, (int) items[3 * i]);
                udmabuf_create_item.offset(item, items[3 * i + 1]);
                udmabuf_create_item.size(item, items[3 * i + 2]);
            }
            return sys.ioctl(fd, CREATE_LIST, struct);
        }

        /** The numbers in the pages of a buffer. */
        List<Integer> numbers(int buffer, int pages) {
            long address = ok(sys.mmap(0, pages * PAGE, RW, Linux.MAP_SHARED, buffer, 0));
            MemorySegment mapped = UserMappings.segment(address, pages * PAGE);
            List<Integer> numbers = new ArrayList<>();
            for (int page = 0; page < pages; page++) {
                numbers.add(mapped.get(ValueLayout.JAVA_INT, page * PAGE));
            }
            ok(sys.munmap(address, pages * PAGE));
            return numbers;
        }

        @Override
        public void close() {
            files.reversed().forEach(sys::close);
            user.close();
        }
    }

    @EveryKernel
    void structsMustBeReadable(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EFAULT, it.sys.ioctl(it.fd, CREATE, 16L));
            fails(Errno.EFAULT, it.sys.ioctl(it.fd, CREATE_LIST, 16L));
        }
    }

    @EveryKernel
    void otherIoctlsAreNone(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.ENOTTY, it.sys.ioctl(it.fd, 0x4018_7544, it.user.allocate(64, 8)));
            fails(Errno.ENOTTY, it.sys.ioctl(it.fd, 0x7542, it.user.allocate(64, 8)));
        }
    }

    @EveryKernel
    void placesArePageAligned(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(it.memory, 0, 100, PAGE));
            fails(Errno.EINVAL, it.create(it.memory, 0, 0, PAGE + 100));
            fails(Errno.EINVAL, it.create(it.memory, 0, 0, 100));
        }
    }

    @EveryKernel
    void aBufferIsNotEmpty(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(it.memory, 0, 0, 0));
            fails(Errno.EINVAL, it.createList(0));
            fails(Errno.EINVAL, it.createList(1, it.memory, 0, 0));
        }
    }

    @EveryKernel
    void aBufferHasALimit(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(-1, 0, 0, (64L << 20) + PAGE));
            fails(Errno.EINVAL, it.createList(2, -1, 0, 64L << 20, -1, 0, PAGE));
            fails(Errno.EBADFD, it.create(-1, 0, 0, 64L << 20));
        }
    }

    @EveryKernel
    void aListHasALimit(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.createList(1025));
            fails(Errno.EINVAL, it.createList(-1));
        }
    }

    @EveryKernel
    void aListThatIsCutOffIsAFault(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            long page = ok(it.sys.mmap(0, 2 * PAGE, RW, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
            ok(it.sys.munmap(page + PAGE, PAGE));
            long head = page + PAGE - udmabuf_create_list.sizeof();
            udmabuf_create_list.count(UserMappings.segment(head, udmabuf_create_list.sizeof()), 1);
            fails(Errno.EFAULT, it.sys.ioctl(it.fd, CREATE_LIST, head));
            udmabuf_create_list.count(UserMappings.segment(head, udmabuf_create_list.sizeof()), 1025);
            fails(Errno.EINVAL, it.sys.ioctl(it.fd, CREATE_LIST, head));
            ok(it.sys.munmap(page, PAGE));
        }
    }

    @EveryKernel
    void placesAreCheckedBeforeFiles(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(-1, 0, 100, PAGE));
            fails(Errno.EINVAL, it.createList(2, -1, 0, PAGE, it.memory, 100, PAGE));
        }
    }

    @EveryKernel
    void onlySharedMemoryWillDo(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EBADFD, it.create(-1, 0, 0, PAGE));
            fails(Errno.EBADFD, it.create(9999, 0, 0, PAGE));
            fails(Errno.EBADFD, it.create(it.fd, 0, 0, PAGE));
            fails(Errno.EBADFD, it.create(it.own(it.sys.eventfd(0, 0)), 0, 0, PAGE));
        }
    }

    @EveryKernel
    void aFileMustNotShrink(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(it.memfd(8, 0), 0, 0, PAGE));
            fails(Errno.EINVAL, it.create(it.memfd(8, SEAL_GROW), 0, 0, PAGE));
            it.own(it.create(it.memfd(8, SEAL_SHRINK | SEAL_GROW), 0, 0, PAGE));
        }
    }

    @EveryKernel
    void aFileMustBeWritable(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(it.memfd(8, SEAL_SHRINK | SEAL_WRITE), 0, 0, PAGE));
            fails(Errno.EINVAL, it.create(it.memfd(8, SEAL_SHRINK | SEAL_FUTURE_WRITE), 0, 0, PAGE));
        }
    }

    @EveryKernel
    void aFileMustTakeSeals(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int plain = it.own(it.sys.memfdCreate("plain", Linux.MFD_CLOEXEC));
            ok(it.sys.ftruncate(plain, PAGE));
            fails(Errno.EINVAL, it.create(plain, 0, 0, PAGE));
        }
    }

    @EveryKernel
    void aFileInABufferIsNotSealedAgainstWriting(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.create(it.memory, 0, 0, PAGE);
            fails(Errno.EBUSY, it.sys.fcntl(it.memory, Linux.F_ADD_SEALS, SEAL_WRITE));
            ok(it.sys.close(buffer));
            ok(it.sys.fcntl(it.memory, Linux.F_ADD_SEALS, SEAL_WRITE));
        }
    }

    @EveryKernel
    void aBufferLiesInItsFile(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.create(it.memory, 0, 0, 9 * PAGE));
            fails(Errno.EINVAL, it.create(it.memory, 0, 8 * PAGE, PAGE));
            fails(Errno.EINVAL, it.create(it.memory, 0, Long.MIN_VALUE, PAGE));
            it.own(it.create(it.memory, 0, 7 * PAGE, PAGE));
        }
    }

    @EveryKernel
    void oneBadItemRefusesTheList(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.createList(2, it.memory, 0, PAGE, it.memory, 8 * PAGE, PAGE));
            fails(Errno.EBADFD, it.createList(2, it.memory, 0, PAGE, -1, 0, PAGE));
        }
    }

    @EveryKernel
    void anEmptyItemIsInvalidOnceItsTurnComes(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.createList(2, it.memory, 0, PAGE, it.memory, 0, 0));
            fails(Errno.EBADFD, it.createList(2, it.memory, 0, PAGE, -1, 0, 0));
        }
    }

    @EveryKernel
    void aFlagAsksForCloseOnExec(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int plain = it.own(it.create(it.memory, 0, 0, PAGE));
            int closing = it.own(it.create(it.memory, 1, 0, PAGE));
            int odd = it.own(it.create(it.memory, 0x7ffe, 0, PAGE));
            assertEquals(0, it.sys.fcntl(plain, Linux.F_GETFD, 0));
            assertEquals(Linux.FD_CLOEXEC, it.sys.fcntl(closing, Linux.F_GETFD, 0));
            assertEquals(0, it.sys.fcntl(odd, Linux.F_GETFD, 0), "unknown flags are ignored");
            assertEquals(Linux.O_RDWR, it.sys.fcntl(plain, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void aBufferShowsThePagesOfItsFile(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.own(it.create(it.memory, 0, 2 * PAGE, 3 * PAGE));
            assertEquals(List.of(2, 3, 4), it.numbers(buffer, 3));
        }
    }

    @EveryKernel
    void aListStringsPiecesTogether(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.own(it.createList(
                    3, it.memory, 5 * PAGE, 2 * PAGE, it.memory, PAGE, PAGE, it.memory, 5 * PAGE, PAGE));
            assertEquals(List.of(5, 6, 1, 5), it.numbers(buffer, 4));
            assertEquals(4 * PAGE, it.sys.lseek(buffer, 0, Linux.SEEK_END));
        }
    }

    @EveryKernel
    void whatIsWrittenThroughABufferIsInTheFile(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.own(it.create(it.memory, 0, PAGE, 2 * PAGE));
            long address = ok(it.sys.mmap(0, 2 * PAGE, RW, Linux.MAP_SHARED, buffer, 0));
            UserMappings.segment(address, 2 * PAGE).set(ValueLayout.JAVA_INT, PAGE + 8, 77);
            ok(it.sys.munmap(address, 2 * PAGE));
            MemorySegment read = it.user.allocate(4, 8);
            ok(it.sys.pread(it.memory, read, 2 * PAGE + 8));
            assertEquals(77, read.get(ValueLayout.JAVA_INT, 0));
        }
    }

    @EveryKernel
    void aBufferOutlivesItsFile(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int file = Checks.fd(it.sys.memfdCreate("udmabuf", Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING));
            ok(it.sys.ftruncate(file, 2 * PAGE));
            ok(it.sys.fcntl(file, Linux.F_ADD_SEALS, SEAL_SHRINK));
            MemorySegment number = it.user.allocate(4, 8);
            number.set(ValueLayout.JAVA_INT, 0, 55);
            ok(it.sys.pwrite(file, number, PAGE));
            int buffer = it.own(it.create(file, 0, 0, 2 * PAGE));
            ok(it.sys.close(file));
            assertEquals(List.of(0, 55), it.numbers(buffer, 2));
        }
    }

    @EveryKernel
    void aHoleInTheFileLeavesTheBufferItsPage(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.own(it.create(it.memory, 0, PAGE, 2 * PAGE));
            int punch = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;
            ok(it.sys.fallocate(it.memory, punch, PAGE, PAGE));
            MemorySegment read = it.user.allocate(4, 8);
            ok(it.sys.pread(it.memory, read, PAGE));
            assertEquals(0, read.get(ValueLayout.JAVA_INT, 0));
            assertEquals(List.of(1, 2), it.numbers(buffer, 2));
        }
    }

    @EveryKernel
    void theSameMemoryMayBeInSeveralBuffers(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int one = it.own(it.create(it.memory, 0, 0, 2 * PAGE));
            int two = it.own(it.create(it.memory, 0, PAGE, 2 * PAGE));
            long address = ok(it.sys.mmap(0, 2 * PAGE, RW, Linux.MAP_SHARED, one, 0));
            UserMappings.segment(address, 2 * PAGE).set(ValueLayout.JAVA_INT, PAGE, 99);
            assertEquals(List.of(99, 2), it.numbers(two, 2));
            ok(it.sys.munmap(address, 2 * PAGE));
        }
    }

    @EveryKernel
    void theDeviceItselfIsNoFileOfBytes(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            fails(Errno.EINVAL, it.sys.read(it.fd, it.user.allocate(8, 8)));
            fails(Errno.ENODEV, it.sys.mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, it.fd, 0));
        }
    }

    @EveryKernel
    void theKernelCopiesThroughAMapping(KernelUnderTest kernel) {
        try (Device it = new Device(kernel)) {
            int buffer = it.own(it.create(it.memory, 0, PAGE, PAGE));
            long address = ok(it.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, buffer, 0));
            MemorySegment mapped = UserMappings.segment(address, PAGE);
            MemorySegment value = it.user.allocate(4, 8);
            ok(it.sys.pread(it.memory, mapped.asSlice(0, 4), 3 * PAGE));
            ok(it.sys.pread(it.memory, value, PAGE));
            assertEquals(3, value.get(ValueLayout.JAVA_INT, 0));
            ok(it.sys.munmap(address, PAGE));
        }
    }
}
