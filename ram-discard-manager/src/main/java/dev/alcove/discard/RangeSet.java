// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * A set of bytes, kept as maximal runs {@code [start, end)} in ascending order.
 *
 * <p>With n runs in the set, every operation costs O(log n) and a constant for each run that it touches; none depends
 * on the number of bytes or pages. Not thread safe.
 */
public final class RangeSet {
    /** How many runs the text shows. */
    private static final int SHOWN = 32;

    /** Start to end of every run. Runs neither overlap nor touch. */
    private final TreeMap<Long, Long> runs = new TreeMap<>();

    private long bytes;

    /** Adds a range; parts that are in the set stay in it. */
    public void add(long offset, long size) {
        long start = offset;
        long end = end(offset, size);
        Map.Entry<Long, Long> run = runs.floorEntry(end);
        while (run != null && run.getValue() >= start) {
            start = Math.min(start, run.getKey());
            end = Math.max(end, run.getValue());
            bytes -= run.getValue() - run.getKey();
            runs.remove(run.getKey());
            run = runs.floorEntry(end);
        }
        runs.put(start, end);
        bytes += end - start;
    }

    /** Takes a range out; parts that are not in the set stay out. */
    public void remove(long offset, long size) {
        long end = end(offset, size);
        Map.Entry<Long, Long> run = runs.lowerEntry(end);
        while (run != null && run.getValue() > offset) {
            long from = run.getKey();
            long to = run.getValue();
            bytes -= Math.min(to, end) - Math.max(from, offset);
            if (from < offset) {
                runs.put(from, offset);
            } else {
                runs.remove(from);
            }
            if (to > end) {
                runs.put(end, to);
            }
            run = runs.lowerEntry(from);
        }
    }

    /** Whether every byte of the range is in the set. */
    public boolean containsAll(long offset, long size) {
        long end = end(offset, size);
        Map.Entry<Long, Long> run = runs.floorEntry(offset);
        return run != null && run.getValue() >= end;
    }

    /** Whether any byte of the range is in the set. */
    public boolean containsAny(long offset, long size) {
        long end = end(offset, size);
        Map.Entry<Long, Long> run = runs.lowerEntry(end);
        return run != null && run.getValue() > offset;
    }

    public boolean contains(long offset) {
        Map.Entry<Long, Long> run = runs.floorEntry(offset);
        return run != null && run.getValue() > offset;
    }

    /**
     * Where the run of equal bytes (all in the set, or all out of it) that holds {@code offset} ends.
     *
     * @param limit the answer is never above this
     */
    public long runEnd(long offset, long limit) {
        Map.Entry<Long, Long> run = runs.floorEntry(offset);
        if (run != null && run.getValue() > offset) {
            return Math.min(run.getValue(), limit);
        }
        Long next = runs.higherKey(offset);
        return next == null ? limit : Math.min(next, limit);
    }

    /** Visits the parts of a range that are in the set. The visitor may change the set at and before what it gets. */
    public void forEach(long offset, long size, RangeVisitor visitor) {
        visit(offset, size, true, visitor);
    }

    /** Visits the parts of a range that are not in the set. */
    public void forEachGap(long offset, long size, RangeVisitor visitor) {
        visit(offset, size, false, visitor);
    }

    private void visit(long offset, long size, boolean inside, RangeVisitor visitor) {
        long end = end(offset, size);
        long position = offset;
        while (position < end) {
            boolean here = contains(position);
            long stop = runEnd(position, end);
            if (here == inside) {
                visitor.range(position, stop - position);
            }
            position = stop;
        }
    }

    /** How many bytes are in the set. */
    public long bytes() {
        return bytes;
    }

    /** How many maximal runs the set has. */
    public int runCount() {
        return runs.size();
    }

    public boolean isEmpty() {
        return runs.isEmpty();
    }

    /** An independent copy. */
    public RangeSet copy() {
        RangeSet copy = new RangeSet();
        copy.runs.putAll(runs);
        copy.bytes = bytes;
        return copy;
    }

    /** What is in this set and not in another, as a new set. */
    public RangeSet minus(RangeSet other) {
        RangeSet rest = copy();
        other.runs.forEach((start, end) -> rest.remove(start, end - start));
        return rest;
    }

    private static long end(long offset, long size) {
        if (offset < 0 || size <= 0 || offset > Long.MAX_VALUE - size) {
            throw new IllegalArgumentException(
                    "not a range: offset 0x" + Long.toHexString(offset) + ", size 0x" + Long.toHexString(size));
        }
        return offset + size;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof RangeSet set && runs.equals(set.runs);
    }

    @Override
    public int hashCode() {
        return runs.hashCode();
    }

    @Override
    public String toString() {
        return runs.entrySet().stream()
                        .limit(SHOWN)
                        .map(run -> "[0x" + Long.toHexString(run.getKey()) + ", 0x" + Long.toHexString(run.getValue())
                                + ")")
                        .collect(Collectors.joining(" ", "{", runs.size() > SHOWN ? " ..." : ""))
                + "}";
    }
}
