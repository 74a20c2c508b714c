// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static dev.alcove.contract.IommufdClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** I/O address spaces without a device: areas, allowed ranges, copies, options. Nothing is pinned here. */
@Surface("areas")
final class IoasContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;

    @EveryKernel
    void mapChecksInOrder(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EOPNOTSUPP, it.map(99, ALL | 8, 0, 0, -1));
            fails(Errno.EOVERFLOW, it.map(99, FIXED, 0, 1, -1));
            fails(Errno.EOVERFLOW, it.map(99, FIXED, 0, -1, 0));
            fails(Errno.EINVAL, it.map(99, FIXED, 0, PAGE, 0));
            fails(Errno.ENOENT, it.map(99, ALL, 0, PAGE, 0));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, -PAGE, 2 * PAGE, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, 0, MIB));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, 0, 4 * PAGE, -2 * PAGE));
            assertEquals(MIB, it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 2 * PAGE, MIB - PAGE));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 16 * PAGE, MIB - PAGE));
            assertEquals(0, it.map(ioas, FIXED | READ, NOWHERE, PAGE, 0), "IOVA 0 may be asked for");
            assertEquals(MIB + 4 * PAGE, it.map(ioas, FIXED | WRITE, NOWHERE, 1, MIB + 4 * PAGE), "a byte is enough");
            assertEquals(MIB + 4 * PAGE + 1, it.map(ioas, ALL, NOWHERE, 3, MIB + 4 * PAGE + 1));
            assertEquals(-3 * PAGE, it.map(ioas, ALL, NOWHERE, 2 * PAGE, -3 * PAGE));
            assertEquals((4 + 1 + 2) * PAGE + 4, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void unmapTakesWholeAreasOnly(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            for (int i = 0; i < 4; i++) {
                ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB + 4 * PAGE * i));
            }
            fails(Errno.ENOENT, it.unmap(99, MIB, PAGE));
            fails(Errno.EINVAL, it.unmap(ioas, MIB, 0));
            fails(Errno.EOVERFLOW, it.unmap(ioas, MIB, -1));
            fails(Errno.EOVERFLOW, it.unmap(ioas, -1, PAGE));
            fails(Errno.EOVERFLOW, it.unmap(ioas, MIB, -MIB + 1));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + PAGE, 3 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + PAGE, 16 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, 2 * MIB, PAGE));
            assertEquals(4 * PAGE, it.unmap(ioas, MIB, 4 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 6 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 10 * PAGE));
            assertEquals(
                    MIB + 4 * PAGE,
                    it.map(ioas, ALL, NOWHERE, PAGE, MIB + 4 * PAGE),
                    "the area before the one that stopped it was gone already");
            assertEquals(9 * PAGE, it.unmap(ioas, 0, 2 * MIB));
            assertEquals(0, it.unmap(ioas, 0, -1), "unmapping all of nothing is fine");
            fails(Errno.ENOENT, it.unmap(ioas, 0, -2));
        }
    }

    @EveryKernel
    void chosenIovasAreAscendingAlignedAndNeverZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            int any = READ | WRITE;
            assertEquals(PAGE, it.map(ioas, any, NOWHERE, PAGE, 0x7777));
            assertEquals(2 * PAGE, it.map(ioas, any, 0x10000, 2 * PAGE, 0));
            assertEquals(2 * MIB, it.map(ioas, any, 64 * MIB, 3 * MIB, 0), "no better than a huge page");
            assertEquals(4 * PAGE + 0x123, it.map(ioas, any, 0x40123, PAGE, 0), "the offset in the page stays");
            ok(it.destroy(ioas));
        }
    }

    @EveryKernel
    void allowedRangesBindOnlyChosenIovas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.ENOENT, it.allow(99));
            fails(Errno.EINVAL, it.allow(ioas, PAGE, PAGE));
            fails(Errno.EINVAL, it.allow(ioas, 2 * PAGE, PAGE));
            fails(Errno.EINVAL, it.allow(ioas, 0, MIB, MIB, 2 * MIB));
            ok(it.allow(ioas, 4 * MIB, 4 * MIB + 4 * PAGE - 1, 8 * MIB, 9 * MIB - 1));
            assertEquals(4 * MIB, it.map(ioas, READ, NOWHERE, 4 * PAGE, 0));
            assertEquals(8 * MIB, it.map(ioas, READ, NOWHERE, PAGE, 0));
            fails(Errno.ENOSPC, it.map(ioas, READ, NOWHERE, MIB, 0));
            assertEquals(MIB, it.map(ioas, FIXED | READ, NOWHERE, PAGE, MIB), "a fixed one is not bound");
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas), "without a device nothing is reserved");
            ok(it.allow(ioas));
            assertEquals(PAGE, it.map(ioas, READ, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void iovaRangesTellHowMuchRoomIsNeeded(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            MemorySegment struct = it.struct(iommu_ioas_iova_ranges.sizeof());
            iommu_ioas_iova_ranges.ioas_id(struct, (int) ioas);
            fails(Errno.EMSGSIZE, it.call(IommufdClient.IOVA_RANGES, struct));
            assertEquals(1, iommu_ioas_iova_ranges.num_iovas(struct));
            assertEquals(1, iommu_ioas_iova_ranges.out_iova_alignment(struct));
            iommu_ioas_iova_ranges.allowed_iovas(struct, 16);
            fails(Errno.EFAULT, it.call(IommufdClient.IOVA_RANGES, struct));
            iommu_ioas_iova_ranges.ioas_id(struct, 99);
            fails(Errno.ENOENT, it.call(IommufdClient.IOVA_RANGES, struct));
        }
    }

    @EveryKernel
    void copySharesPagesOfSeveralAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = ok(it.ioas());
            long to = ok(it.ioas());
            ok(it.map(from, ALL, NOWHERE, 4 * PAGE, MIB));
            ok(it.map(from, FIXED | READ, NOWHERE, 4 * PAGE, MIB + 4 * PAGE));
            ok(it.map(from, ALL, NOWHERE, 4 * PAGE, MIB + 9 * PAGE));
            fails(Errno.EOPNOTSUPP, it.copy(8, from, MIB, to, MIB, PAGE));
            fails(Errno.EOVERFLOW, it.copy(FIXED, from, MIB, to, -1, PAGE));
            fails(Errno.EOVERFLOW, it.copy(FIXED, from, -1, to, 0, PAGE));
            fails(Errno.EOVERFLOW, it.copy(FIXED, from, 0, to, 0, -1));
            fails(Errno.EINVAL, it.copy(FIXED, 98, MIB, 99, MIB, PAGE));
            fails(Errno.ENOENT, it.copy(ALL, 98, MIB, to, MIB, PAGE));
            fails(Errno.EINVAL, it.copy(ALL, from, MIB, 99, MIB, 0));
            fails(Errno.EOVERFLOW, it.copy(ALL, from, -PAGE, to, MIB, 2 * PAGE));
            fails(Errno.ENOENT, it.copy(ALL, from, MIB, 99, MIB, PAGE));
            fails(Errno.ENOENT, it.copy(FIXED | READ, from, MIB, to, MIB, 9 * PAGE));
            fails(Errno.ENOENT, it.copy(FIXED | READ, from, MIB - PAGE, to, MIB, 2 * PAGE));
            fails(Errno.EPERM, it.copy(ALL, from, MIB, to, MIB, 8 * PAGE));
            fails(Errno.ENOENT, it.unmap(to, 0, 4 * MIB));
            assertEquals(MIB, it.copy(FIXED | READ, from, MIB + PAGE, to, MIB, 6 * PAGE));
            fails(Errno.EEXIST, it.copy(FIXED | READ, from, MIB, to, MIB, PAGE));
            fails(Errno.EPERM, it.copy(ALL, to, MIB + 3 * PAGE, from, 4 * MIB, PAGE));
            assertEquals(4 * MIB, it.copy(ALL, to, MIB, from, 4 * MIB, PAGE), "read-only can be widened again");
            assertEquals(5 * MIB + 5, it.copy(FIXED | READ, from, MIB + 5, to, 5 * MIB + 5, 7), "by the byte");
            assertEquals(6 * PAGE + 7, it.unmap(to, 0, -1));
            assertEquals(PAGE, it.copy(READ, from, MIB, to, 0x55, PAGE), "a chosen IOVA");
            ok(it.destroy(from));
            assertEquals(PAGE, it.unmap(to, PAGE, PAGE), "the copy outlives its source");
        }
    }

    @EveryKernel
    void options(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int rlimitMode = 0;
            int hugePages = 1;
            fails(Errno.EOPNOTSUPP, it.option(7, 1, 0, 0));
            fails(Errno.EOPNOTSUPP, it.option(rlimitMode, 1, 1, 0));
            fails(Errno.EOPNOTSUPP, it.option(rlimitMode, 2, 0, 0));
            assertEquals(0, it.option(rlimitMode, 1, 0, 77));
            fails(Errno.EINVAL, it.option(rlimitMode, 0, 0, 2));
            ok(it.option(rlimitMode, 0, 0, 1));
            assertEquals(1, it.option(rlimitMode, 1, 0, 0));
            ok(it.option(rlimitMode, 0, 0, 0));
            fails(Errno.ENOENT, it.option(hugePages, 1, 99, 0));
            long ioas = ok(it.ioas());
            fails(Errno.EBUSY, it.option(rlimitMode, 0, 0, 1));
            assertEquals(1, it.option(hugePages, 1, ioas, 0));
            fails(Errno.EINVAL, it.option(hugePages, 0, ioas, 2));
            fails(Errno.EOPNOTSUPP, it.option(hugePages, 5, ioas, 0));
            ok(it.map(ioas, ALL, NOWHERE, 3, MIB));
            fails(Errno.EADDRINUSE, it.option(hugePages, 0, ioas, 0));
            assertEquals(3, it.unmap(ioas, 0, -1));
            ok(it.option(hugePages, 0, ioas, 0));
            assertEquals(0, it.option(hugePages, 1, ioas, 1));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, 3, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, PAGE, MIB + 1));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE + 1, PAGE, MIB));
            ok(it.option(hugePages, 0, ioas, 1));
            ok(it.map(ioas, ALL, NOWHERE, 3, MIB));
        }
    }

    @EveryKernel
    void filesAreTakenUnseenUntilADomainNeedsThem(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            int file = Checks.fd(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
            kernel.needs("IOMMU_IOAS_MAP_FILE", it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            fails(Errno.EEXIST, it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, FIXED, file, 0, PAGE, MIB));
            fails(Errno.ENOENT, it.mapFile(99, ALL, -1, 0, 0, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, -1, 0, 0, MIB));
            fails(Errno.EOVERFLOW, it.mapFile(ioas, ALL, -1, -PAGE, 2 * PAGE, MIB));
            fails(Errno.EBADF, it.mapFile(ioas, ALL, -1, 0, PAGE, 2 * MIB));
            int event = Checks.fd(kernel.sys().eventfd(0, Linux.EFD_CLOEXEC));
            assertEquals(2 * MIB, it.mapFile(ioas, ALL, event, 0, PAGE, 2 * MIB));
            ok(kernel.sys().close(event));
            ok(kernel.sys().close(file));
            assertEquals(2 * PAGE, it.unmap(ioas, 0, -1));
        }
    }
}
