// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * One ioctl for each extent; where a piece comes out, the whole extent is unmapped and what is left of it is mapped
 * again. In between, DMA to the rest of the extent is blocked: a device that is not prepared for it loses data. Only
 * for those who ask for it.
 *
 * <p>Works on every kernel and both interfaces. Locking: the monitor protects the list of extents and is held over the
 * ioctls of an unmap, because two pieces of one extent cannot come out at once.
 */
public final class RemapStrategy implements MapStrategy {
    private final DmaSpace space;
    /** What is mapped, by IOVA: the kernel's mappings, no two of which overlap. */
    private final TreeMap<Long, Extent> extents = new TreeMap<>();

    private record Extent(DmaSource source, long offset, long iova, long length) {
        long end() {
            return iova + length;
        }

        Extent part(long from, long to) {
            return new Extent(source, offset + (from - iova), from, to - from);
        }
    }

    public RemapStrategy(DmaSpace space) {
        this.space = space;
    }

    public RemapStrategy(Ioas ioas) {
        this(IoasSpace.of(ioas));
    }

    @Override
    public String name() {
        return "remap";
    }

    @Override
    public DmaSpace space() {
        return space;
    }

    @Override
    public long mappings(long length) {
        return 1;
    }

    @Override
    public Outcome map(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        try {
            mapPiece(new Extent(source, offset, iova, length), counters);
            return Outcome.done();
        } catch (SyscallException refused) {
            return MapStrategy.refused(refused);
        }
    }

    /** The monitor is held over the ioctl too: the extent is in the list as soon as it is in the kernel. */
    private synchronized void mapPiece(Extent extent, MapCounters counters) {
        counters.mapIoctl();
        space.map(extent.source(), extent.offset(), extent.iova(), extent.length());
        extents.put(extent.iova(), extent);
    }

    @Override
    public synchronized long unmap(long iova, long length, MapCounters counters) {
        long end = iova + length;
        long unmapped = 0;
        for (Extent extent : overlapping(iova, end)) {
            long from = Math.max(iova, extent.iova());
            long to = Math.min(end, extent.end());
            counters.unmapIoctl();
            space.unmap(extent.iova(), extent.length());
            extents.remove(extent.iova());
            unmapped += to - from;
            try {
                if (extent.iova() < from) {
                    mapBack(extent.part(extent.iova(), from), counters);
                }
                if (to < extent.end()) {
                    mapBack(extent.part(to, extent.end()), counters);
                }
            } catch (SyscallException refused) {
                throw new InvariantException("the rest of iova [0x" + Long.toHexString(extent.iova()) + ", 0x"
                        + Long.toHexString(extent.end()) + ") cannot be mapped again: " + refused.getMessage());
            }
        }
        return unmapped;
    }

    /** What nobody asked to unmap must come back: a refusal gets a second chance. */
    private void mapBack(Extent extent, MapCounters counters) {
        try {
            mapPiece(extent, counters);
        } catch (SyscallException _) {
            mapPiece(extent, counters);
        }
    }

    private List<Extent> overlapping(long iova, long end) {
        List<Extent> found = new ArrayList<>();
        Map.Entry<Long, Extent> before = extents.floorEntry(iova);
        if (before != null && before.getValue().end() > iova && before.getKey() != iova) {
            found.add(before.getValue());
        }
        found.addAll(extents.subMap(iova, end).values());
        return found;
    }

    /** Extents that an unmap has not come to are in the list, and in the kernel. */
    @Override
    public synchronized void restore(
            DmaSource source, long offset, long iova, long length, MapCounters counters) {
        long position = iova;
        for (Extent extent : overlapping(iova, iova + length)) {
            if (extent.iova() > position) {
                long gap = position;
                mapPiece(new Extent(source, offset + (gap - iova), gap, extent.iova() - gap), counters);
            }
            position = extent.end();
        }
        if (position < iova + length) {
            mapPiece(new Extent(source, offset + (position - iova), position, iova + length - position), counters);
        }
    }
}
