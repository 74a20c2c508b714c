// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_allow_iovas;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.READ;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_IOVA_RANGES and IOMMU_IOAS_ALLOW_IOVAS. */
@Surface("areas")
final class IovaRangesContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final long MSI = 0xfee0_0000L;
    private static final long BAD = 16;

    private static MemorySegment ranges(IommufdClient it, long ioas, int room, long list) {
        MemorySegment struct = it.struct(iommu_ioas_iova_ranges.sizeof());
        iommu_ioas_iova_ranges.ioas_id(struct, (int) ioas);
        iommu_ioas_iova_ranges.num_iovas(struct, room);
        iommu_ioas_iova_ranges.allowed_iovas(struct, list);
        return struct;
    }

    private static long allow(IommufdClient it, long ioas, int count, long list) {
        MemorySegment struct = it.struct(iommu_ioas_allow_iovas.sizeof());
        iommu_ioas_allow_iovas.ioas_id(struct, (int) ioas);
        iommu_ioas_allow_iovas.num_iovas(struct, count);
        iommu_ioas_allow_iovas.allowed_iovas(struct, list);
        return it.call(IommufdClient.ALLOW_IOVAS, struct);
    }

    @EveryKernel
    void withoutADeviceEverythingIsUsable(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas));
            ok(it.allow(ioas, MIB, 2 * MIB));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas), "neither allowed ranges nor areas matter");
        }
    }

    @EveryKernel
    void withoutRoomTheNumberIsToldAllTheSame(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = ranges(it, ok(it.ioas()), 0, BAD);
            fails(Errno.EMSGSIZE, it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(1, iommu_ioas_iova_ranges.num_iovas(struct));
            assertEquals(1, iommu_ioas_iova_ranges.out_iova_alignment(struct));
        }
    }

    @EveryKernel
    void aBadListIsAFaultAndTellsNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = ranges(it, ok(it.ioas()), 7, BAD);
            fails(Errno.EFAULT, it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(7, iommu_ioas_iova_ranges.num_iovas(struct));
        }
    }

    @EveryKernel
    void moreRoomThanNeededIsLeftAlone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment list = it.user(64).fill((byte) 0x55);
            MemorySegment struct = ranges(it, ok(it.ioas()), 4, list.address());
            ok(it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(1, iommu_ioas_iova_ranges.num_iovas(struct));
            assertEquals(0x55, list.get(ValueLayout.JAVA_BYTE, 16));
        }
    }

    @EveryKernel
    void theAlignmentIsThatOfSmallPagesOnceLargeOnesAreOff(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.option(1, 0, ioas, 0));
            MemorySegment struct = ranges(it, ioas, 1, it.user(16).address());
            ok(it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(PAGE, iommu_ioas_iova_ranges.out_iova_alignment(struct));
        }
    }

    @EveryKernel
    void aDeviceTakesItsMessageWindowAndWhatItCannotReach(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            long[] ranges = it.ranges(ioas);
            assertEquals(4, ranges.length);
            assertEquals(0, ranges[0]);
            assertEquals(MSI - 1, ranges[1]);
            assertEquals(MSI + MIB, ranges[2]);
            assertEquals(0, ranges[3] & ranges[3] + 1, "the aperture's end is that of a number of bits");
            ok(it.detach(device));
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas));
        }
    }

    @EveryKernel
    void tooLittleRoomGivesTheFirstRanges(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            MemorySegment list = it.user(32).fill((byte) 0x55);
            MemorySegment struct = ranges(it, ioas, 1, list.address());
            fails(Errno.EMSGSIZE, it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(2, iommu_ioas_iova_ranges.num_iovas(struct));
            assertEquals(PAGE, iommu_ioas_iova_ranges.out_iova_alignment(struct));
            assertEquals(MSI - 1, list.get(ValueLayout.JAVA_LONG, 8));
            assertEquals(0x55, list.get(ValueLayout.JAVA_BYTE, 16));
        }
    }

    @EveryKernel
    void allowedRangesAreCheckedOneByOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EINVAL, it.allow(ioas, PAGE, PAGE));
            fails(Errno.EINVAL, it.allow(ioas, 2 * PAGE, PAGE));
            fails(Errno.EINVAL, it.allow(ioas, 0, MIB, MIB, 2 * MIB));
            fails(Errno.EINVAL, it.allow(ioas, -2, 5));
            ok(it.allow(ioas, 0, MIB - 1, MIB, 2 * MIB));
            ok(it.allow(ioas, 4 * MIB, 5 * MIB, 0, 1));
        }
    }

    @EveryKernel
    void aListOfAllowedRangesThatCannotBeReadIsAFault(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.ENOENT, allow(it, 99, 1, BAD));
            fails(Errno.EFAULT, allow(it, ioas, 1, BAD));
            ok(allow(it, ioas, 0, BAD));
        }
    }

    @EveryKernel
    void aBadRangeBeforeTheEndOfMemoryIsFoundFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            long page = it.memory(2);
            ok(kernel.sys().munmap(page + PAGE, PAGE));
            fails(Errno.EINVAL, allow(it, ioas, 100, page + PAGE - 16));
        }
    }

    @EveryKernel
    void aListThatFailsLeavesTheOldOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB, 5 * MIB));
            fails(Errno.EINVAL, it.allow(ioas, 6 * MIB, 7 * MIB, PAGE, PAGE));
            fails(Errno.EFAULT, allow(it, ioas, 1, BAD));
            assertEquals(4 * MIB, it.map(ioas, READ, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void aNewListTakesTheOldOnesPlace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB, 5 * MIB));
            ok(it.allow(ioas, 6 * MIB, 7 * MIB));
            assertEquals(6 * MIB, it.map(ioas, READ, NOWHERE, PAGE, 0));
            ok(it.allow(ioas));
            assertEquals(PAGE, it.map(ioas, READ, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void whatIsMappedMayBeAllowed(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
            ok(it.allow(ioas, MIB + PAGE, MIB + 8 * PAGE - 1));
            assertEquals(MIB + 4 * PAGE, it.map(ioas, READ, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void whatIsReservedCannotBeAllowed(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            ok(it.allow(ioas, 4 * MIB, 5 * MIB));
            fails(Errno.EADDRINUSE, it.allow(ioas, 6 * MIB, 7 * MIB, MSI - PAGE, MSI));
            fails(Errno.EADDRINUSE, it.allow(ioas, 0, -1));
            assertEquals(4 * MIB, it.map(ioas, READ, it.memory(1), PAGE, 0), "the old list is kept");
            ok(it.allow(ioas, MSI - MIB, MSI - 1));
        }
    }

    @EveryKernel
    void aChoiceLeavesTheMessageWindowOut(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            ok(it.allow(ioas, MSI - PAGE, MSI - 1, MSI + MIB, MSI + 2 * MIB));
            long memory = it.memory(4);
            assertEquals(MSI - PAGE, it.map(ioas, READ, memory, PAGE, 0));
            assertEquals(MSI + MIB, it.map(ioas, READ, memory, PAGE, 0));
        }
    }
}
