// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommufd.IntervalTree.Span;
import org.jspecify.annotations.Nullable;

/** Closed intervals of unsigned 64-bit numbers, each with a value, to be looked for. */
interface Intervals<V> {
    /** Receives a stretch that no interval covers. */
    interface Hole {
        /** Answers whether to go on. */
        boolean accept(long first, long last);
    }

    /** Of the intervals that overlap [from, to], the one that starts first; null when there is none. */
    @Nullable Span<V> first(long from, long to);

    default boolean overlaps(long from, long to) {
        return first(from, to) != null;
    }

    /** Walks the holes in [from, to], ascending, until the consumer has enough. */
    default void holes(long from, long to, Hole hole) {
        long at = from;
        while (true) {
            Span<V> used = first(at, to);
            if (used == null) {
                hole.accept(at, to);
                return;
            }
            if (Long.compareUnsigned(used.first, at) > 0 && !hole.accept(at, used.first - 1)) {
                return;
            }
            if (Long.compareUnsigned(used.last, to) >= 0) {
                return;
            }
            at = used.last + 1;
        }
    }
}
