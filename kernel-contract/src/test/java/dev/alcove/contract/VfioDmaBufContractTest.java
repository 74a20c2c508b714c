// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_DEVICE_FEATURE_DMA_BUF: parts of edu's BAR 0, of 1 MiB, as a dma-buf, and what iommufd makes of it. */
@Timeout(60)
@Surface("dma-buf")
final class VfioDmaBufContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int FEATURE = 0x3b75;
    private static final int DMA_BUF = 11;
    private static final int GET = 0x10000;
    private static final int SET = 0x20000;
    private static final int PROBE = 0x40000;
    private static final long CONFIG = 7L << 40;

    /** The device, attached to an address space; skips the test where VFIO exports nothing. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        final IommufdClient it;
        final int device;
        final long ioas;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            it = new IommufdClient(kernel);
            device = it.openDevice();
            ok(it.bind(device));
            ioas = ok(it.ioas());
            MemorySegment probe = it.struct(8);
            probe.set(ValueLayout.JAVA_INT, 4, PROBE | GET | DMA_BUF);
            int answer = sys.ioctl(device, FEATURE, probe);
            if (answer < 0) {
                it.close();
            }
            kernel.needs("VFIO_DEVICE_FEATURE_DMA_BUF", answer);
        }

        /** @param words region, flags of open(2), flags, number of ranges; then each range's offset and length */
        int export(int size, int operation, int[] words, long... ranges) {
            MemorySegment struct = it.user(24 + 8L * ranges.length);
            struct.set(ValueLayout.JAVA_INT, 0, size);
            struct.set(ValueLayout.JAVA_INT, 4, operation | DMA_BUF);
            for (int i = 0; i < words.length; i++) {
                struct.set(ValueLayout.JAVA_INT, 8 + 4L * i, words[i]);
            }
            for (int i = 0; i < ranges.length; i++) {
                struct.set(ValueLayout.JAVA_LONG, 24 + 8L * i, ranges[i]);
            }
            return sys.ioctl(device, FEATURE, struct);
        }

        int export(int region, int openFlags, long... ranges) {
            int size = 24 + 8 * ranges.length;
            return export(size, GET, new int[] {region, openFlags, 0, ranges.length / 2}, ranges);
        }

        /** A buffer of the BAR's first pages, closed at the end. */
        int buffer(long pages) {
            return it.own(export(0, Linux.O_RDWR | Linux.O_CLOEXEC, 0, pages * PAGE));
        }

        void command(int value) {
            MemorySegment bytes = it.struct(8);
            bytes.set(ValueLayout.JAVA_LONG, 0, value);
            ok(sys.pwrite(device, bytes.asSlice(0, 2), CONFIG + 4));
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void itIsGotAndNotSet(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.export(40, SET, new int[] {0, 0, 0, 1}, 0, PAGE));
            fails(Errno.EINVAL, rig.export(40, 0, new int[] {0, 0, 0, 1}, 0, PAGE));
            fails(Errno.EINVAL, rig.export(40, SET | PROBE, new int[] {0, 0, 0, 1}, 0, PAGE));
            ok(rig.export(8, PROBE, new int[] {}));
        }
    }

    @EveryKernel
    void theStructHasALeastLength(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.export(8, GET, new int[] {0, 0, 0, 1}, 0, PAGE));
            fails(Errno.EINVAL, rig.export(23, GET, new int[] {0, 0, 0, 1}, 0, PAGE));
            int buffer = rig.export(24, GET, new int[] {0, 0, 0, 1}, 0, PAGE);
            ok(buffer);
            ok(rig.sys.close(buffer));
        }
    }

    @EveryKernel
    void thereAreRangesAndNoFlags(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.export(40, GET, new int[] {0, 0, 0, 0}, 0, PAGE));
            fails(Errno.EINVAL, rig.export(40, GET, new int[] {0, 0, 1, 1}, 0, PAGE));
            fails(Errno.EINVAL, rig.export(40, GET, new int[] {9, 0, 1, 1}, 0, PAGE));
        }
    }

    @EveryKernel
    void theRegionIsABarThatIsThere(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            for (int region : new int[] {1, 5, 6, 7, 8, 9, -1}) {
                fails(Errno.ENODEV, rig.export(region, 0, 0, PAGE));
            }
            fails(Errno.ENODEV, rig.export(1, 0, 100, 0));
        }
    }

    @EveryKernel
    void rangesArePages(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.export(0, 0, 0, 0));
            fails(Errno.EINVAL, rig.export(0, 0, 100, PAGE));
            fails(Errno.EINVAL, rig.export(0, 0, 0, 100));
            fails(Errno.EINVAL, rig.export(0, 0, 0, PAGE, 0, 0));
        }
    }

    @EveryKernel
    void rangesLieInTheBar(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.export(0, 0, 0, MIB + PAGE));
            fails(Errno.EINVAL, rig.export(0, 0, MIB, PAGE));
            fails(Errno.EINVAL, rig.export(0, 0, 0, PAGE, MIB - PAGE, 2 * PAGE));
            fails(Errno.EOVERFLOW, rig.export(0, 0, -PAGE, PAGE));
        }
    }

    @EveryKernel
    void rangesMayOverlapAndAreAddedUp(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.it.own(rig.export(0, 0, 0, 2 * PAGE, PAGE, 2 * PAGE, MIB - PAGE, PAGE));
            assertEquals(5 * PAGE, rig.sys.lseek(buffer, 0, Linux.SEEK_END));
        }
    }

    @EveryKernel
    void theDescriptorIsAsItWasAskedFor(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int closing = rig.it.own(rig.export(0, Linux.O_RDWR | Linux.O_CLOEXEC, 0, PAGE));
            int reading = rig.it.own(rig.export(0, Linux.O_RDONLY | Linux.O_NONBLOCK, 0, PAGE));
            assertEquals(Linux.FD_CLOEXEC, rig.sys.fcntl(closing, Linux.F_GETFD, 0));
            assertEquals(0, rig.sys.fcntl(reading, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR, rig.sys.fcntl(closing, Linux.F_GETFL, 0));
            assertEquals(Linux.O_RDONLY | Linux.O_NONBLOCK, rig.sys.fcntl(reading, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void registersAreNotMappedThroughIt(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(1);
            int both = Linux.PROT_READ | Linux.PROT_WRITE;
            fails(Errno.EINVAL, rig.sys.mmap(0, PAGE, both, Linux.MAP_SHARED, buffer, 0));
        }
    }

    @EveryKernel
    void aSyncOfRegistersIsNothing(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(1);
            MemorySegment sync = rig.it.struct(8);
            sync.set(ValueLayout.JAVA_LONG, 0, 7);
            ok(rig.sys.ioctl(buffer, 0x4008_6200, sync));
            sync.set(ValueLayout.JAVA_LONG, 0, 3);
            ok(rig.sys.ioctl(buffer, 0x4008_6200, sync));
        }
    }

    @EveryKernel
    void aBufferOutlivesTheDevicesFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(2);
            rig.it.closeFile(rig.device);
            assertEquals(2 * PAGE, rig.sys.lseek(buffer, 0, Linux.SEEK_END));
            fails(Errno.ENODEV, rig.it.mapFile(rig.ioas, ALL, buffer, 0, PAGE, MIB));
        }
    }

    @EveryKernel
    void iommufdMapsIt(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(16);
            assertEquals(MIB, rig.it.mapFile(rig.ioas, ALL, buffer, 0, 16 * PAGE, MIB));
            ok(rig.it.attach(rig.device, rig.ioas));
            assertEquals(2 * MIB, rig.it.mapFile(rig.ioas, ALL, buffer, PAGE, 2 * PAGE, 2 * MIB));
            assertEquals(16 * PAGE, rig.it.unmap(rig.ioas, MIB, 16 * PAGE));
            assertEquals(2 * PAGE, rig.it.unmap(rig.ioas, 0, -1));
        }
    }

    @EveryKernel
    void iommufdMapsNoMoreThanThereIs(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(16);
            fails(Errno.EINVAL, rig.it.mapFile(rig.ioas, ALL, buffer, 0, 17 * PAGE, MIB));
            fails(Errno.EINVAL, rig.it.mapFile(rig.ioas, ALL, buffer, 16 * PAGE, PAGE, MIB));
            assertEquals(MIB, rig.it.mapFile(rig.ioas, ALL, buffer, 15 * PAGE, PAGE, MIB));
        }
    }

    @EveryKernel
    void iommufdWantsOneRange(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.it.own(rig.export(0, Linux.O_RDWR, 0, PAGE, PAGE, PAGE));
            fails(Errno.EOPNOTSUPP, rig.it.mapFile(rig.ioas, ALL, buffer, 0, 2 * PAGE, MIB));
        }
    }

    @EveryKernel
    void withoutMemoryDecodingThereIsNothingToMap(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.command(0);
            int buffer = rig.buffer(1);
            fails(Errno.ENODEV, rig.it.mapFile(rig.ioas, ALL, buffer, 0, PAGE, MIB));
            rig.command(2);
            ok(rig.it.mapFile(rig.ioas, ALL, buffer, 0, PAGE, MIB));
            rig.command(0);
            fails(Errno.ENODEV, rig.it.mapFile(rig.ioas, ALL, buffer, 0, PAGE, 2 * MIB));
        }
    }

    @EveryKernel
    void aMappingThatWasRevokedIsStillUnmapped(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(4);
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.it.mapFile(rig.ioas, ALL, buffer, 0, 4 * PAGE, MIB));
            rig.command(0);
            ok(rig.it.copy(ALL, rig.ioas, MIB, rig.ioas, 2 * MIB, PAGE));
            rig.command(2);
            assertEquals(4 * PAGE, rig.it.unmap(rig.ioas, MIB, 4 * PAGE));
            assertEquals(PAGE, rig.it.unmap(rig.ioas, 2 * MIB, PAGE));
        }
    }

    @EveryKernel
    void anAttachPassesOverWhatWasRevoked(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(4);
            ok(rig.it.mapFile(rig.ioas, ALL, buffer, 0, 4 * PAGE, MIB));
            rig.command(0);
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.it.detach(rig.device));
            rig.command(2);
            ok(rig.it.attach(rig.device, rig.ioas));
            assertEquals(4 * PAGE, rig.it.unmap(rig.ioas, 0, -1));
        }
    }

    @EveryKernel
    void aMappingIsNotCut(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(4);
            ok(rig.it.vfioIoas(1, rig.ioas));
            ok(rig.sys.ioctl(rig.it.fd, 0x3b66, 1));
            ok(rig.it.mapFile(rig.ioas, ALL, buffer, 0, 4 * PAGE, MIB));
            fails(Errno.EOPNOTSUPP, rig.it.type1Unmap(0, MIB + PAGE, PAGE));
            assertEquals(4 * PAGE, rig.it.type1Unmap(0, MIB, 4 * PAGE));
        }
    }

    @EveryKernel
    void closingTheDeviceRevokesForGood(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int buffer = rig.buffer(4);
            ok(rig.it.mapFile(rig.ioas, ALL, buffer, 0, 4 * PAGE, MIB));
            rig.it.closeFile(rig.device);
            int again = rig.it.openDevice();
            ok(rig.it.bind(again));
            fails(Errno.ENODEV, rig.it.mapFile(rig.ioas, ALL, buffer, 0, PAGE, 2 * MIB));
            ok(rig.it.attach(again, rig.ioas));
            assertEquals(4 * PAGE, rig.it.unmap(rig.ioas, 0, -1));
        }
    }
}
