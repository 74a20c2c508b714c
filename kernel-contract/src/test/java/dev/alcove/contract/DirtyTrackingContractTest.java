// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.GET_DIRTY_BITMAP;
import static dev.alcove.contract.IommufdClient.SET_DIRTY_TRACKING;

/** Dirty bits: what is checked before it turns out that the page table has none. */
@Surface("domains")
final class DirtyTrackingContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    private static long track(IommufdClient it, int flags, long hwpt) {
        MemorySegment struct = it.struct(iommu_hwpt_set_dirty_tracking.sizeof());
        iommu_hwpt_set_dirty_tracking.flags(struct, flags);
        iommu_hwpt_set_dirty_tracking.hwpt_id(struct, (int) hwpt);
        return it.call(SET_DIRTY_TRACKING, struct);
    }

    private static long bitmap(IommufdClient it, int flags, long hwpt, long iova, long length, long page) {
        MemorySegment struct = it.struct(iommu_hwpt_get_dirty_bitmap.sizeof());
        iommu_hwpt_get_dirty_bitmap.flags(struct, flags);
        iommu_hwpt_get_dirty_bitmap.hwpt_id(struct, (int) hwpt);
        iommu_hwpt_get_dirty_bitmap.iova(struct, iova);
        iommu_hwpt_get_dirty_bitmap.length(struct, length);
        iommu_hwpt_get_dirty_bitmap.page_size(struct, page);
        iommu_hwpt_get_dirty_bitmap.data(struct, it.user(64).address());
        return it.call(GET_DIRTY_BITMAP, struct);
    }

    private static long table(IommufdClient it) {
        return ok(it.hwpt(0, ok(it.bind(it.openDevice())), ok(it.ioas())));
    }

    @EveryKernel
    void trackingHasOneFlag(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, track(it, 2, 99));
            fails(Errno.EOPNOTSUPP, track(it, 0x8000_0001, 99));
            fails(Errno.ENOENT, track(it, 1, 99));
            fails(Errno.ENOENT, track(it, 0, 99));
        }
    }

    @EveryKernel
    void trackingIsForPageTables(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, track(it, 1, ok(it.ioas())));
            fails(Errno.ENOENT, track(it, 1, ok(it.bind(it.openDevice()))));
        }
    }

    @EveryKernel
    void trackingWantsATableThatWasMadeForIt(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long hwpt = table(it);
            fails(Errno.EOPNOTSUPP, track(it, 1, hwpt));
            fails(Errno.EOPNOTSUPP, track(it, 0, hwpt));
        }
    }

    @EveryKernel
    void theReservedWordOfTrackingDoesNotMatter(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(iommu_hwpt_set_dirty_tracking.sizeof());
            iommu_hwpt_set_dirty_tracking.__reserved(struct, 1);
            fails(Errno.ENOENT, it.call(SET_DIRTY_TRACKING, struct));
        }
    }

    @EveryKernel
    void theBitmapHasOneFlag(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, bitmap(it, 2, 99, MIB, PAGE, PAGE));
            fails(Errno.ENOENT, bitmap(it, 1, 99, MIB, PAGE, PAGE));
            fails(Errno.ENOENT, bitmap(it, 0, ok(it.ioas()), -PAGE, 2 * PAGE, 0));
        }
    }

    @EveryKernel
    void theRangeOfABitmapMustBeOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long hwpt = table(it);
            fails(Errno.EOVERFLOW, bitmap(it, 0, hwpt, -PAGE, 2 * PAGE, 0));
            fails(Errno.EOVERFLOW, bitmap(it, 0, hwpt, PAGE, 1 - PAGE, PAGE));
        }
    }

    @EveryKernel
    void anEmptyBitmapAtZeroGoesAllTheWayRound(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long hwpt = table(it);
            long answer = bitmap(it, 0, hwpt, MIB, 0, PAGE);
            kernel.needs("empty dirty bitmaps", answer == -Errno.EINVAL ? answer : 0);
            fails(Errno.EOVERFLOW, answer);
            fails(Errno.EOPNOTSUPP, bitmap(it, 0, hwpt, 0, 0, PAGE));
        }
    }

    @EveryKernel
    void theRangeOfABitmapIsAligned(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long hwpt = table(it);
            fails(Errno.EINVAL, bitmap(it, 0, hwpt, MIB + 8, PAGE, PAGE));
            fails(Errno.EINVAL, bitmap(it, 0, hwpt, MIB, 8, 8));
            fails(Errno.EINVAL, bitmap(it, 0, hwpt, MIB, PAGE, 0));
            fails(Errno.EINVAL, bitmap(it, 0, hwpt, MIB, PAGE, 2 * PAGE));
            fails(Errno.EINVAL, bitmap(it, 0, hwpt, MIB + PAGE, PAGE, 2 * PAGE));
        }
    }

    @EveryKernel
    void theGranuleMayBeSmallerThanAPage(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long hwpt = table(it);
            fails(Errno.EOPNOTSUPP, bitmap(it, 0, hwpt, MIB, PAGE, 1));
            fails(Errno.EOPNOTSUPP, bitmap(it, 0, hwpt, MIB, PAGE, 0x800));
            fails(Errno.EOPNOTSUPP, bitmap(it, 1, hwpt, MIB, 4 * PAGE, 2 * PAGE));
        }
    }
}
