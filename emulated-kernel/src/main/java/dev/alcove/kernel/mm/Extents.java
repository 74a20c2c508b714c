// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.util.Map;
import java.util.TreeMap;

/**
 * The free ranges of a space of units (frames, or pages of addresses), first fit, neighbours joined.
 *
 * <p>Not thread safe: the owner's lock protects it.
 */
final class Extents {
    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final long size;
    private long available;

    /** All of {@code first} to {@code first + count - 1} is free. */
    Extents(long first, long count) {
        free.put(first, count);
        size = count;
        available = count;
    }

    /** Units that are handed out. */
    long used() {
        return size - available;
    }

    /**
     * Takes the first free range that is long enough.
     *
     * @param alignment a power of two that the range's first unit is a multiple of
     * @return its first unit, or -1
     */
    long take(long count, long alignment) {
        for (Map.Entry<Long, Long> entry : free.entrySet()) {
            long start = (entry.getKey() + alignment - 1) & -alignment;
            if (start - entry.getKey() + count <= entry.getValue()) {
                cut(entry, start, count);
                return start;
            }
        }
        return -1;
    }

    /** Takes exactly this range; false, with nothing taken, unless all of it is free. */
    boolean takeAt(long start, long count) {
        Map.Entry<Long, Long> entry = free.floorEntry(start);
        if (entry == null || start - entry.getKey() + count > entry.getValue()) {
            return false;
        }
        cut(entry, start, count);
        return true;
    }

    private void cut(Map.Entry<Long, Long> entry, long start, long count) {
        long first = entry.getKey();
        long end = first + entry.getValue();
        if (start > first) {
            free.put(first, start - first);
        } else {
            free.remove(first);
        }
        if (start + count < end) {
            free.put(start + count, end - start - count);
        }
        available -= count;
    }

    /** Gives a range back. */
    void give(long start, long count) {
        Map.Entry<Long, Long> before = free.lowerEntry(start);
        Map.Entry<Long, Long> after = free.ceilingEntry(start);
        if ((before != null && before.getKey() + before.getValue() > start)
                || (after != null && after.getKey() < start + count)) {
            throw new IllegalStateException(count + " units from " + start + " are given back twice");
        }
        long first = start;
        long length = count;
        if (before != null && before.getKey() + before.getValue() == start) {
            first = before.getKey();
            length += before.getValue();
        }
        if (after != null && after.getKey() == start + count) {
            length += after.getValue();
            free.remove(after.getKey());
        }
        free.put(first, length);
        available += count;
    }

    /** Whether a unit is handed out. */
    boolean taken(long unit) {
        Map.Entry<Long, Long> entry = free.floorEntry(unit);
        return entry == null || entry.getKey() + entry.getValue() <= unit;
    }
}
