// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.bindings.iommufd.iommu_hw_info_vtd;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** The driver of the machine's own IOMMU, an Intel VT-d without nesting, dirty tracking, PASIDs and page requests. */
final class VtdDriver implements IommuDriver {
    /**
     * VT-d's capability register: 2^16 domain ids, caching mode, tables of three and of four levels, 48 bits, 2 MiB and
     * 1 GiB pages, fault registers at 0x220, page selective invalidation, draining.
     */
    private static final long CAPABILITIES =
            6 | 1L << 7 | 6L << 8 | 47L << 16 | 0x22L << 24 | 3L << 34 | 1L << 39 | 0x12L << 48 | 3L << 54;

    /** VT-d's extended capability register: queued invalidation, interrupt remapping, pass-through, snoop control. */
    private static final long EXTENDED_CAPABILITIES = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 | 0xf << 8 | 0xf << 20;

    private static final int HW_INFO_TYPE = 1;

    /** Linux reports this erratum for every VT-d. */
    private static final int ERRATA_772415_SPR17 = 1;

    private final Iommu iommu;

    VtdDriver(Iommu iommu) {
        this.iommu = iommu;
    }

    @Override
    public boolean cacheCoherent(IommuDevice device) {
        return true;
    }

    @Override
    public boolean isolatedMsi(IommuDevice device) {
        return true;
    }

    @Override
    public boolean dirtyTracking(IommuDevice device) {
        return false;
    }

    @Override
    public boolean pageRequests(IommuDevice device) {
        return false;
    }

    @Override
    public int pasidBits(IommuDevice device) {
        return 0;
    }

    @Override
    public DomainOutcome allocatePaging(IommuDevice device, int flags, @Nullable UserData data) {
        if ((flags & ~PASID) != 0 || data != null) {
            return new DomainOutcome.Refused(Errno.EOPNOTSUPP);
        }
        if (!iommu.allocator().charge("iommu domain")) {
            return new DomainOutcome.Refused(Errno.ENOMEM);
        }
        return new DomainOutcome.Made(iommu.newDomain());
    }

    @Override
    public @Nullable HwInfo hwInfo(IommuDevice device, int type) {
        if (type != 0 && type != HW_INFO_TYPE) {
            return null;
        }
        long size = iommu_hw_info_vtd.sizeof();
        MemorySegment data = MemorySegment.ofArray(new long[(int) ((size + 7) >>> 3)]).asSlice(0, size);
        iommu_hw_info_vtd.flags(data, ERRATA_772415_SPR17);
        iommu_hw_info_vtd.cap_reg(data, CAPABILITIES);
        iommu_hw_info_vtd.ecap_reg(data, EXTENDED_CAPABILITIES);
        return new HwInfo(HW_INFO_TYPE, data);
    }

    @Override
    public int attach(IommuDevice device, @Nullable Domain next, @Nullable Domain old) {
        return 0;
    }
}
