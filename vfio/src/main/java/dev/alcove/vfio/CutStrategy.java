// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.SyscallException;

/**
 * One IOMMU_IOAS_MAP for each extent, however long; a piece comes out through iommufd's compatibility interface, whose
 * VFIO_IOMMU_UNMAP_DMA cuts an area at any page.
 *
 * <p>An iommufd context has one compatibility address space, so only one address space of a context can use this.
 */
public final class CutStrategy implements MapStrategy {
    private final Ioas ioas;

    private CutStrategy(Ioas ioas) {
        this.ioas = ioas;
    }

    /**
     * Prepares an address space. Must come before a device is attached to it: it turns large IOPTEs off, and with a
     * device attached an area that has them cannot be cut any more.
     *
     * @throws SyscallException EINVAL there are a device and areas already; ENOTTY the kernel has no compatibility
     *     interface
     */
    public static CutStrategy prepare(Ioas ioas) {
        ioas.iommu().setVfioIoas(ioas);
        ioas.iommu().setIommuType1();
        return new CutStrategy(ioas);
    }

    @Override
    public String name() {
        return "cut";
    }

    @Override
    public Ioas ioas() {
        return ioas;
    }

    @Override
    public Outcome map(long hva, long iova, long length, MapCounters counters) {
        try {
            counters.mapIoctl();
            ioas.map(hva, iova, length, Ioas.READ | Ioas.WRITE);
            return Outcome.done();
        } catch (SyscallException refused) {
            return VfioDmaMapper.refused(refused);
        }
    }

    @Override
    public long unmap(long iova, long length, MapCounters counters) {
        counters.unmapIoctl();
        return ioas.iommu().compatUnmap(iova, length);
    }
}
