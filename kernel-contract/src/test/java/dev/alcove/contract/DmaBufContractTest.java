// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.dmabuf.dma_buf_export_sync_file;
import dev.alcove.bindings.dmabuf.udmabuf_create;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A dma-buf as a file, and what iommufd makes of one; the buffer is a udmabuf of four pages. */
@Surface("dma-buf")
final class DmaBufContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int SYNC = 0x4008_6200;
    private static final int SET_NAME_A = 0x4004_6201;
    private static final int SET_NAME_B = 0x4008_6201;
    private static final int EXPORT_SYNC_FILE = 0xc008_6202;
    private static final int IMPORT_SYNC_FILE = 0x4008_6203;
    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final int END = 4;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;

    private static final class Buffer implements AutoCloseable {
        final Syscalls sys;
        final UserArena user;
        final int fd;

        Buffer(KernelUnderTest kernel) {
            sys = kernel.sys();
            int device = kernel.open("/dev/udmabuf");
            user = new UserArena(sys, 1 << 16);
            int file = Checks.fd(sys.memfdCreate("buffer", Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING));
            ok(sys.ftruncate(file, 4 * PAGE));
            ok(sys.fcntl(file, Linux.F_ADD_SEALS, 2));
            MemorySegment struct = user.allocate(udmabuf_create.sizeof(), 8);
            udmabuf_create.memfd(struct, file);
            udmabuf_create.size(struct, 4 * PAGE);
            fd = Checks.fd(sys.ioctl(device, 0x4018_7542, struct));
            ok(sys.close(file));
            ok(sys.close(device));
        }

        long sync(long flags) {
            MemorySegment struct = user.allocate(8, 8);
            struct.set(ValueLayout.JAVA_LONG, 0, flags);
            return sys.ioctl(fd, SYNC, struct);
        }

        long name(int request, String name) {
            byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
            MemorySegment memory = user.allocate(bytes.length + 1L, 8);
            MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, 0, bytes.length);
            return sys.ioctl(fd, request, memory.address());
        }

        long syncFile(int request, int flags, int file) {
            MemorySegment struct = user.allocate(dma_buf_export_sync_file.sizeof(), 8);
            dma_buf_export_sync_file.flags(struct, flags);
            dma_buf_export_sync_file.fd(struct, file);
            long answer = sys.ioctl(fd, request, struct);
            return answer < 0 || request == IMPORT_SYNC_FILE ? answer : dma_buf_export_sync_file.fd(struct);
        }

        @Override
        public void close() {
            sys.close(fd);
            user.close();
        }
    }

    @EveryKernel
    void aSyncHasADirection(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.EINVAL, it.sync(0));
            fails(Errno.EINVAL, it.sync(END));
            fails(Errno.EINVAL, it.sync(READ | 8));
            fails(Errno.EINVAL, it.sync(READ | 1L << 40));
            fails(Errno.EFAULT, it.sys.ioctl(it.fd, SYNC, 16L));
        }
    }

    @EveryKernel
    void aSyncBeginsAndEnds(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            for (int direction : new int[] {READ, WRITE, READ | WRITE}) {
                ok(it.sync(direction));
                ok(it.sync(direction | END));
            }
            ok(it.sync(READ));
            ok(it.sync(READ));
            ok(it.sync(WRITE | END));
            ok(it.sync(WRITE | END));
        }
    }

    @EveryKernel
    void aSyncDoesNotEndBeforeAnyHasBegun(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.EINVAL, it.sync(READ | END));
            ok(it.sync(READ));
            ok(it.sync(READ | END));
            ok(it.sync(READ | END));
        }
    }

    @EveryKernel
    void aNameIsShort(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            for (int request : new int[] {SET_NAME_A, SET_NAME_B}) {
                ok(it.name(request, ""));
                ok(it.name(request, "a".repeat(31)));
                fails(Errno.EINVAL, it.name(request, "a".repeat(32)));
                fails(Errno.EFAULT, it.sys.ioctl(it.fd, request, 16L));
                fails(Errno.EFAULT, it.sys.ioctl(it.fd, request, 0L));
            }
        }
    }

    @EveryKernel
    void otherIoctlsAreNone(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.ENOTTY, it.sys.ioctl(it.fd, 0x4008_6205, it.user.allocate(64, 8)));
            fails(Errno.ENOTTY, it.sys.ioctl(it.fd, 0x6200, it.user.allocate(64, 8)));
            fails(Errno.ENOTTY, it.sys.ioctl(it.fd, 0x4018_7542, it.user.allocate(64, 8)));
        }
    }

    @EveryKernel
    void onlyItsEndsCanBeSought(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            assertEquals(4 * PAGE, it.sys.lseek(it.fd, 0, Linux.SEEK_END));
            assertEquals(0, it.sys.lseek(it.fd, 0, Linux.SEEK_SET));
            fails(Errno.EINVAL, it.sys.lseek(it.fd, 1, Linux.SEEK_SET));
            fails(Errno.EINVAL, it.sys.lseek(it.fd, -1, Linux.SEEK_END));
            fails(Errno.EINVAL, it.sys.lseek(it.fd, 0, Linux.SEEK_CUR));
            fails(Errno.EINVAL, it.sys.lseek(it.fd, 0, Linux.SEEK_DATA));
        }
    }

    @EveryKernel
    void itIsNoFileOfBytes(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            MemorySegment bytes = it.user.allocate(8, 8);
            fails(Errno.EINVAL, it.sys.read(it.fd, bytes));
            fails(Errno.EINVAL, it.sys.write(it.fd, bytes));
            fails(Errno.ESPIPE, it.sys.pread(it.fd, bytes, 0));
            fails(Errno.EINVAL, it.sys.ftruncate(it.fd, 0));
            fails(Errno.EINVAL, it.sys.fcntl(it.fd, Linux.F_GET_SEALS, 0));
        }
    }

    @EveryKernel
    void itKnowsItsSize(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            MemorySegment stat = it.user.allocate(144, 8);
            ok(it.sys.fstat(it.fd, stat));
            assertEquals(4 * PAGE, stat.get(ValueLayout.JAVA_LONG, 48), "st_size");
            assertEquals(0600, stat.get(ValueLayout.JAVA_INT, 24), "st_mode");
            assertEquals(4 * PAGE / 512, stat.get(ValueLayout.JAVA_LONG, 64), "st_blocks");
        }
    }

    @EveryKernel
    void aMappingLiesInTheBuffer(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.EINVAL, it.sys.mmap(0, 5 * PAGE, RW, Linux.MAP_SHARED, it.fd, 0));
            fails(Errno.EINVAL, it.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, it.fd, 4 * PAGE));
            fails(Errno.EINVAL, it.sys.mmap(0, 2 * PAGE, RW, Linux.MAP_SHARED, it.fd, 3 * PAGE));
            long address = ok(it.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, it.fd, 3 * PAGE));
            ok(it.sys.munmap(address, PAGE));
        }
    }

    @EveryKernel
    void aMappingIsShared(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.EINVAL, it.sys.mmap(0, PAGE, RW, Linux.MAP_PRIVATE, it.fd, 0));
            fails(Errno.EINVAL, it.sys.mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_PRIVATE, it.fd, 0));
            long address = ok(it.sys.mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, it.fd, 0));
            ok(it.sys.munmap(address, PAGE));
        }
    }

    @EveryKernel
    void aMappingKeepsTheBuffer(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            int copy = Checks.fd(it.sys.dup(it.fd));
            long address = ok(it.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, copy, 0));
            ok(it.sys.close(copy));
            UserMappings.segment(address, PAGE).set(ValueLayout.JAVA_INT, 0, 5);
            ok(it.sys.munmap(address, PAGE));
        }
    }

    @EveryKernel
    void nobodyWaitsForABufferWithoutFences(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            MemorySegment poll = it.user.allocate(8, 8);
            poll.set(ValueLayout.JAVA_INT, 0, it.fd);
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) (Linux.POLLIN | Linux.POLLOUT));
            assertEquals(1, it.sys.poll(poll, 0));
            assertEquals(Linux.POLLIN | Linux.POLLOUT, poll.get(ValueLayout.JAVA_SHORT, 6));
        }
    }

    @EveryKernel
    void syncFilesHaveADirection(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            for (int request : new int[] {EXPORT_SYNC_FILE, IMPORT_SYNC_FILE}) {
                fails(Errno.EINVAL, it.syncFile(request, 0, -1));
                fails(Errno.EINVAL, it.syncFile(request, 4, -1));
                fails(Errno.EINVAL, it.syncFile(request, READ | 8, -1));
                fails(Errno.EFAULT, it.sys.ioctl(it.fd, request, 16L));
            }
        }
    }

    @EveryKernel
    void aSyncFileOfABufferWithoutFencesIsSignalled(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            int file = (int) ok(it.syncFile(EXPORT_SYNC_FILE, READ | WRITE, -1));
            assertEquals(Linux.FD_CLOEXEC, it.sys.fcntl(file, Linux.F_GETFD, 0));
            MemorySegment poll = it.user.allocate(8, 8);
            poll.set(ValueLayout.JAVA_INT, 0, file);
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
            assertEquals(1, it.sys.poll(poll, 0));
            ok(it.syncFile(IMPORT_SYNC_FILE, WRITE, file));
            ok(it.sys.close(file));
        }
    }

    @EveryKernel
    void whatIsNoSyncFileIsNotImported(KernelUnderTest kernel) {
        try (Buffer it = new Buffer(kernel)) {
            fails(Errno.EINVAL, it.syncFile(IMPORT_SYNC_FILE, READ, -1));
            fails(Errno.EINVAL, it.syncFile(IMPORT_SYNC_FILE, READ, it.fd));
        }
    }

    /** Skips the test where a dma-buf is a file like any other to IOMMU_IOAS_MAP_FILE. */
    private static IommufdClient importer(KernelUnderTest kernel, Buffer buffer) {
        IommufdClient it = new IommufdClient(kernel);
        long answer = it.mapFile(ok(it.ioas()), ALL, buffer.fd, 0, PAGE, MIB);
        if (answer != -Errno.EOPNOTSUPP) {
            it.close();
            kernel.needs("dma-bufs in IOMMU_IOAS_MAP_FILE", -Errno.EOPNOTSUPP);
        }
        return it;
    }

    @EveryKernel
    void iommufdTakesNoBufferOfMemory(KernelUnderTest kernel) {
        try (Buffer buffer = new Buffer(kernel);
                IommufdClient it = importer(kernel, buffer)) {
            long ioas = ok(it.ioas());
            fails(Errno.EOPNOTSUPP, it.mapFile(ioas, ALL, buffer.fd, 0, 4 * PAGE, MIB));
            fails(Errno.EOPNOTSUPP, it.mapFile(ioas, IommufdClient.READ, buffer.fd, 3 * PAGE, PAGE, 0));
            assertEquals(0, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void iommufdLooksAtTheBuffersSizeFirst(KernelUnderTest kernel) {
        try (Buffer buffer = new Buffer(kernel);
                IommufdClient it = importer(kernel, buffer)) {
            long ioas = ok(it.ioas());
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, buffer.fd, 0, 4 * PAGE + 1, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, buffer.fd, 4 * PAGE, PAGE, MIB));
            fails(Errno.EOPNOTSUPP, it.mapFile(ioas, ALL, buffer.fd, PAGE, 3 * PAGE, MIB));
        }
    }

    @EveryKernel
    void iommufdTakesTheBufferBeforeThePlace(KernelUnderTest kernel) {
        try (Buffer buffer = new Buffer(kernel);
                IommufdClient it = importer(kernel, buffer)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, 0, PAGE, MIB));
            fails(Errno.EOPNOTSUPP, it.mapFile(ioas, ALL, buffer.fd, 0, PAGE, MIB));
        }
    }

    @EveryKernel
    void aMappingOfABufferCannotBePinned(KernelUnderTest kernel) {
        try (Buffer buffer = new Buffer(kernel);
                IommufdClient it = new IommufdClient(kernel)) {
            long address = ok(buffer.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, buffer.fd, 0));
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, address, PAGE, MIB));
            fails(Errno.EFAULT, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
            fails(Errno.EFAULT, it.map(ioas, ALL, address, PAGE, MIB));
            ok(buffer.sys.munmap(address, PAGE));
        }
    }
}
