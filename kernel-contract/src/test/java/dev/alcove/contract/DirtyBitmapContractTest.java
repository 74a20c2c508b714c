// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.APERTURE;
import static dev.alcove.contract.MockIommuClient.DIRTY_TRACKING;
import static dev.alcove.contract.MockIommuClient.NO_DIRTY;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Dirty bits and the bitmap that tells them, with the mock IOMMU, whose pages are of 2 KiB and up. */
@Surface("domains")
final class DirtyBitmapContractTest {
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final int HALF = PAGE / 2;
    private static final int NO_CLEAR = 1;

    /** Memory of 16 pages at the aperture's start, in page table entries of 4 KiB, on a page table that tracks. */
    private record Setup(MockIommuClient mock, long ioas, long hwpt) {
        static Setup of(MockIommuClient mock) {
            long ioas = ok(mock.iommufd.ioas());
            // Without large pages.
            ok(mock.iommufd.option(1, 0, ioas, 0));
            Device device = mock.device(0, ioas);
            long hwpt = ok(mock.iommufd.hwpt(DIRTY_TRACKING, device.id(), ioas));
            ok(mock.iommufd.map(ioas, IommufdClient.ALL, mock.iommufd.memory(16), 16 * PAGE, APERTURE));
            return new Setup(mock, ioas, hwpt);
        }

        static Setup tracking(MockIommuClient mock) {
            Setup setup = of(mock);
            ok(mock.track(setup.hwpt, true));
            return setup;
        }

        void dirty(long page) {
            ok(mock.dirty(hwpt, APERTURE + page * PAGE));
        }

        /** The bits of so many pages of a size, into cleared memory: the first 64 of them. */
        long read(int flags, long pages, long pageSize) {
            MemorySegment bitmap = mock.iommufd.user(64).fill((byte) 0);
            ok(mock.bitmap(hwpt, flags, APERTURE, pages * PAGE, pageSize, bitmap.address()));
            return bitmap.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    @EveryKernel
    void onlyADeviceAndAPageTableThatCanTrack(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            long ioas = ok(mock.iommufd.ioas());
            Device able = mock.device(0, ioas);
            Device unable = mock.device(NO_DIRTY, ok(mock.iommufd.ioas()));
            fails(Errno.EOPNOTSUPP, mock.iommufd.hwpt(DIRTY_TRACKING, unable.id(), ioas));
            long hwpt = ok(mock.iommufd.hwpt(DIRTY_TRACKING, able.id(), ioas));
            fails(Errno.EINVAL, mock.replace(unable, hwpt));
            fails(Errno.EOPNOTSUPP, mock.track(able.hwpt(), true));
            fails(Errno.EOPNOTSUPP, mock.track(able.hwpt(), false));
            ok(mock.track(hwpt, false));
            ok(mock.track(hwpt, true));
            ok(mock.track(hwpt, true));
            ok(mock.track(hwpt, false));
        }
    }

    @EveryKernel
    void aPageIsToldOnceUnlessItIsToStay(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(1);
            setup.dirty(15);
            assertEquals(0x8002, setup.read(NO_CLEAR, 16, PAGE));
            assertEquals(0x8002, setup.read(0, 16, PAGE));
            assertEquals(0, setup.read(0, 16, PAGE));
        }
    }

    @EveryKernel
    void onlyTheRangeIsToldAndForgotten(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(1);
            setup.dirty(5);
            assertEquals(0x2, setup.read(0, 4, PAGE));
            assertEquals(0x20, setup.read(0, 16, PAGE));
        }
    }

    @EveryKernel
    void aStartForgetsWhatWasDirtyAndAnEndDoesNot(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(3);
            ok(mock.track(setup.hwpt, false));
            fails(Errno.EINVAL, mock.dirty(setup.hwpt, APERTURE));
            assertEquals(0x8, setup.read(NO_CLEAR, 16, PAGE));
            ok(mock.track(setup.hwpt, true));
            assertEquals(0, setup.read(0, 16, PAGE));
        }
    }

    @EveryKernel
    void aBitIsForAsMuchAsTheUserSays(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(1);
            setup.dirty(6);
            assertEquals(0b1001, setup.read(NO_CLEAR, 16, 2 * PAGE));
            assertEquals(0b1, setup.read(NO_CLEAR, 16, 16 * PAGE));
            // A page of two entries counts without its last one.
            assertEquals(1 << 2 | 1 << 12, setup.read(NO_CLEAR, 16, HALF));
        }
    }

    @EveryKernel
    void aPageIsDirtyWhicheverOfItsEntriesWasWritten(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            long hwpt = ok(mock.iommufd.hwpt(DIRTY_TRACKING, device.id(), ioas));
            ok(mock.iommufd.map(ioas, IommufdClient.ALL, mock.iommufd.memory(1), PAGE, APERTURE));
            ok(mock.track(hwpt, true));
            ok(mock.dirty(hwpt, APERTURE + HALF));
            MemorySegment bitmap = mock.iommufd.user(64).fill((byte) 0);
            ok(mock.bitmap(hwpt, 0, APERTURE, PAGE, HALF, bitmap.address()));
            assertEquals(1, bitmap.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void bitsAreOnlyEverSet(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(0);
            MemorySegment bitmap = mock.iommufd.user(64).fill((byte) 0x70);
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, bitmap.address()));
            assertEquals(0x7070_7070_7070_7071L, bitmap.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void aBitmapBeginsAtAnyByte(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(2);
            setup.dirty(9);
            MemorySegment bitmap = mock.iommufd.user(64).fill((byte) 0);
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, bitmap.address() + 3));
            assertEquals(0x0204_0000_00L, bitmap.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void aBitmapOverTwoPagesIsWrittenInBoth(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(0);
            setup.dirty(8);
            long memory = mock.iommufd.memory(2);
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, memory + PAGE - 1));
            MemorySegment bytes = UserMappings.segment(memory, 2L * PAGE);
            assertEquals(1, bytes.get(ValueLayout.JAVA_BYTE, PAGE - 1));
            assertEquals(1, bytes.get(ValueLayout.JAVA_BYTE, PAGE));
        }
    }

    @EveryKernel
    void bitsThatCannotBeWrittenAreLost(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(0);
            setup.dirty(8);
            long memory = mock.iommufd.memory(2);
            ok(kernel.sys().munmap(memory + PAGE, PAGE));
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, memory + PAGE - 1));
            assertEquals(1, UserMappings.segment(memory, PAGE).get(ValueLayout.JAVA_BYTE, PAGE - 1));
            assertEquals(0, setup.read(0, 16, PAGE));
            setup.dirty(4);
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, 0));
            assertEquals(0, setup.read(0, 16, PAGE));
        }
    }

    @EveryKernel
    void aBitmapThatCanOnlyBeReadIsNotWritten(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(0);
            int file = mock.iommufd.own(kernel.sys().memfdCreate("bitmap", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, PAGE));
            long memory = ok(kernel.sys().mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, 16 * PAGE, PAGE, memory));
            assertEquals(0, UserMappings.segment(memory, 8).get(ValueLayout.JAVA_LONG, 0));
            ok(kernel.sys().munmap(memory, PAGE));
            assertEquals(0, setup.read(0, 16, PAGE));
        }
    }

    @EveryKernel
    void aHoleEndsTheTelling(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            long behind = APERTURE + 18 * PAGE;
            ok(mock.iommufd.map(setup.ioas, IommufdClient.ALL, mock.iommufd.memory(1), PAGE, behind));
            setup.dirty(15);
            ok(mock.dirty(setup.hwpt, behind));
            assertEquals(1 << 15, setup.read(0, 19, PAGE));
            MemorySegment bitmap = mock.iommufd.user(64).fill((byte) 0);
            ok(mock.bitmap(setup.hwpt, 0, behind, PAGE, PAGE, bitmap.address()));
            assertEquals(1, bitmap.get(ValueLayout.JAVA_LONG, 0));
        }
    }

    @EveryKernel
    void areasThatTouchAreToldTogether(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            long behind = APERTURE + 16 * PAGE;
            ok(mock.iommufd.map(setup.ioas, IommufdClient.ALL, mock.iommufd.memory(1), PAGE, behind));
            setup.dirty(15);
            ok(mock.dirty(setup.hwpt, behind));
            assertEquals(3 << 15, setup.read(0, 17, PAGE));
        }
    }

    @EveryKernel
    void aSizeThatIsNoPowerOfTwoCountsByItsLowestBit(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            setup.dirty(3);
            assertEquals(0x8, setup.read(0, 12, 3 * PAGE));
        }
    }

    @EveryKernel
    void theRangeIsCheckedBeforeThePageTable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.tracking(mock);
            long bitmap = mock.iommufd.user(64).address();
            fails(Errno.EOPNOTSUPP, mock.bitmap(99, 2, APERTURE, PAGE, PAGE, bitmap));
            fails(Errno.ENOENT, mock.bitmap(setup.ioas, 0, APERTURE, PAGE, PAGE, bitmap));
            fails(Errno.EOVERFLOW, mock.bitmap(setup.hwpt, 0, -PAGE, 2 * PAGE, PAGE, bitmap));
            fails(Errno.EINVAL, mock.bitmap(setup.hwpt, 0, APERTURE + 1, PAGE, 1, bitmap));
            fails(Errno.EINVAL, mock.bitmap(setup.hwpt, 0, APERTURE, PAGE, 0, bitmap));
            fails(Errno.EINVAL, mock.bitmap(setup.hwpt, 0, APERTURE, PAGE, 2 * PAGE, bitmap));
            ok(mock.bitmap(setup.hwpt, 0, APERTURE, PAGE, 1, bitmap));
        }
    }
}
