// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which frames of a guest, or with in-place conversion which pages of a guest_memfd, are private ({@code KVM_MEMORY_ATTRIBUTE_PRIVATE}): disjoint intervals that do not touch.
 *
 * <p>Lock: its own monitor, a leaf; the machine's slots lock, or the file's, serialises writers above it.
 */
public final class MemoryAttributes {
    /** Guest frames [first, end). */
    public record Interval(long first, long end) {}

    /** Start to end. */
    private final TreeMap<Long, Long> privateFrames = new TreeMap<>();

    /** Whether a frame is private. */
    public synchronized boolean isPrivate(long gfn) {
        Map.Entry<Long, Long> entry = privateFrames.floorEntry(gfn);
        return entry != null && entry.getValue() > gfn;
    }

    /** Whether all of [first, end) already is what is asked for. */
    public synchronized boolean uniform(long first, long end, boolean isPrivate) {
        Map.Entry<Long, Long> entry = privateFrames.lowerEntry(end);
        if (isPrivate) {
            return entry != null && entry.getKey() <= first && entry.getValue() >= end;
        }
        return entry == null || entry.getValue() <= first;
    }

    /** Makes [first, end) private or shared. */
    public synchronized void set(long first, long end, boolean isPrivate) {
        long from = first;
        long to = end;
        Map.Entry<Long, Long> entry = privateFrames.floorEntry(end);
        while (entry != null && entry.getValue() >= first) {
            privateFrames.remove(entry.getKey());
            if (isPrivate) {
                from = Math.min(from, entry.getKey());
                to = Math.max(to, entry.getValue());
            } else {
                if (entry.getValue() > end) {
                    privateFrames.put(end, entry.getValue());
                }
                if (entry.getKey() < first) {
                    privateFrames.put(entry.getKey(), first);
                    break;
                }
            }
            entry = privateFrames.lowerEntry(entry.getKey());
        }
        if (isPrivate) {
            privateFrames.put(from, to);
        }
    }

    /** All private intervals, in order. */
    public synchronized List<Interval> intervals() {
        List<Interval> list = new ArrayList<>(privateFrames.size());
        privateFrames.forEach((first, end) -> list.add(new Interval(first, end)));
        return list;
    }
}
