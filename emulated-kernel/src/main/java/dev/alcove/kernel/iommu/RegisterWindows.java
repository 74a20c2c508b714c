// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.sys.Linux;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import org.jspecify.annotations.Nullable;

/** Where the registers of functions are among the frames, behind all memory: what DMA from one device to another hits. */
final class RegisterWindows {
    private static final long FIRST = 1L << 38;
    private static final int FUNCTION_SHIFT = 20;
    private static final int BAR_SHIFT = 17;

    private final ConcurrentSkipListMap<Long, MmioRegion> windows = new ConcurrentSkipListMap<>();

    /** A part of a region. */
    record Place(MmioRegion region, long offset) {}

    /** Gives a BAR its frames: the first of them, always the same. */
    long add(int requesterId, int bar, MmioRegion region) {
        long first = FIRST + ((long) requesterId << FUNCTION_SHIFT) + ((long) bar << BAR_SHIFT);
        windows.put(first, region);
        return first;
    }

    /** What an address leads to; null when there are no registers. */
    @Nullable Place at(long address) {
        Map.Entry<Long, MmioRegion> window = windows.floorEntry(address >>> Linux.PAGE_SHIFT);
        if (window == null) {
            return null;
        }
        long offset = address - (window.getKey() << Linux.PAGE_SHIFT);
        return offset < window.getValue().size() ? new Place(window.getValue(), offset) : null;
    }
}
