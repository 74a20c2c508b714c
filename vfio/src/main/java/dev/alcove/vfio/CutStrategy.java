// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;

/**
 * One ioctl for each extent, however long; a piece comes out through iommufd's compatibility interface, whose
 * VFIO_IOMMU_UNMAP_DMA cuts a mapping at any page without a moment in which the neighbours are not mapped.
 *
 * <p>What was cut out and is mapped again is a mapping of its own: from then on it comes out at the price of a plain
 * unmap. A guest that converts the same pages over and over therefore pays for the cut once.
 *
 * @param space that can be cut
 */
public record CutStrategy(DmaSpace space) implements MapStrategy {
    public CutStrategy {
        if (!space.cuts()) {
            throw new IllegalArgumentException(space + " cannot be cut");
        }
    }

    /** Prepares an address space without devices; see {@link IoasSpace#cutting}. */
    public static CutStrategy prepare(Ioas ioas) {
        return new CutStrategy(IoasSpace.cutting(ioas));
    }

    @Override
    public String name() {
        return "cut";
    }

    @Override
    public long mappings(long length) {
        return 1;
    }

    @Override
    public Outcome map(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        return MapStrategy.one(space, source, offset, iova, length, counters);
    }

    @Override
    public long unmap(long iova, long length, MapCounters counters) {
        counters.unmapIoctl();
        return space.cut(iova, length);
    }
}
