// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_UNMAP: whole areas only, ascending, and what is left when it stops half way. */
@Surface("areas")
final class IoasUnmapContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;

    /** An address space with four areas of four pages, side by side from 1 MiB on. */
    private static long fourAreas(IommufdClient it) {
        long ioas = ok(it.ioas());
        for (int i = 0; i < 4; i++) {
            ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB + 4 * PAGE * i));
        }
        return ioas;
    }

    @EveryKernel
    void theIdComesFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, it.unmap(99, MIB, 0));
            fails(Errno.ENOENT, it.unmap(99, -1, -1));
            fails(Errno.ENOENT, it.unmap(99, 0, -1));
        }
    }

    @EveryKernel
    void theRangeMustBeOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            fails(Errno.EINVAL, it.unmap(ioas, MIB, 0));
            fails(Errno.EINVAL, it.unmap(ioas, 0, 0));
            fails(Errno.EOVERFLOW, it.unmap(ioas, MIB, -1));
            fails(Errno.EOVERFLOW, it.unmap(ioas, -1, PAGE));
            fails(Errno.EOVERFLOW, it.unmap(ioas, -1, 0));
            fails(Errno.EOVERFLOW, it.unmap(ioas, MIB, -MIB + 1));
        }
    }

    @EveryKernel
    void oneAreaTellsItsLength(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            assertEquals(4 * PAGE, it.unmap(ioas, MIB, 4 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 4 * PAGE));
        }
    }

    @EveryKernel
    void severalAreasGoAtOnce(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            assertEquals(8 * PAGE, it.unmap(ioas, MIB + 4 * PAGE, 8 * PAGE));
            assertEquals(8 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void holesInTheRangeDoNotCount(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            ok(it.unmap(ioas, MIB + 4 * PAGE, 4 * PAGE));
            assertEquals(12 * PAGE, it.unmap(ioas, PAGE, 16 * MIB));
        }
    }

    @EveryKernel
    void anEmptyRangeIsNoEntry(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            fails(Errno.ENOENT, it.unmap(ioas, 2 * MIB, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, 0, MIB));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + 16 * PAGE, PAGE));
        }
    }

    @EveryKernel
    void everythingMayBeNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(0, it.unmap(ioas, 0, -1));
            fails(Errno.ENOENT, it.unmap(ioas, 0, -2));
        }
    }

    @EveryKernel
    void everythingIsTakenWhereverItIs(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            ok(it.map(ioas, ALL, NOWHERE, PAGE, 0));
            assertEquals(-2, it.map(ioas, ALL, NOWHERE, 2, -2));
            assertEquals(17 * PAGE + 2, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aPieceOfAnAreaIsNoEntry(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + PAGE, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + 3 * PAGE, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 4 * PAGE - 1));
            fails(Errno.ENOENT, it.unmap(ioas, MIB + 1, 4 * PAGE - 1));
            assertEquals(16 * PAGE, it.unmap(ioas, 0, -1), "nothing has changed");
        }
    }

    @EveryKernel
    void anAreaThatStartsEarlierStopsItAtOnce(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            fails(Errno.ENOENT, it.unmap(ioas, MIB + PAGE, 15 * PAGE));
            assertEquals(16 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void anAreaThatEndsLaterStopsItHalfWay(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 10 * PAGE));
            assertEquals(MIB, it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB), "the first two are gone");
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, PAGE, MIB + 8 * PAGE));
            assertEquals(16 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aFailureDoesNotTellALength(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            MemorySegment struct = it.struct(iommu_ioas_unmap.sizeof());
            iommu_ioas_unmap.ioas_id(struct, (int) ioas);
            iommu_ioas_unmap.iova(struct, MIB);
            iommu_ioas_unmap.length(struct, 10 * PAGE);
            fails(Errno.ENOENT, it.call(IommufdClient.UNMAP, struct));
            assertEquals(10 * PAGE, iommu_ioas_unmap.length(struct));
        }
    }

    @EveryKernel
    void destroyingTheAddressSpaceUnmaps(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = fourAreas(it);
            ok(it.destroy(ioas));
            assertEquals(ioas, it.ioas());
            assertEquals(0, it.unmap(ioas, 0, -1), "a new one under the old id is empty");
        }
    }
}
