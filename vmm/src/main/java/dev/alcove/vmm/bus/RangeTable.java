// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Disjoint address ranges with an owner each; immutable, so that a lookup takes no lock. A lookup is a binary search.
 */
final class RangeTable<T> {
    private final long[] starts;
    private final long[] ends;
    private final Object[] owners;

    RangeTable() {
        this(new long[0], new long[0], new Object[0]);
    }

    private RangeTable(long[] starts, long[] ends, Object[] owners) {
        this.starts = starts;
        this.ends = ends;
        this.owners = owners;
    }

    /** The index of the range that holds [address, address + size) as a whole, or -1. */
    int find(long address, long size) {
        int at = Arrays.binarySearch(starts, address);
        int index = at >= 0 ? at : -at - 2;
        return index >= 0 && address < ends[index] && size <= ends[index] - address ? index : -1;
    }

    long start(int index) {
        return starts[index];
    }

    @SuppressWarnings("unchecked") // only with() puts owners in
    T owner(int index) {
        return (T) owners[index];
    }

    /**
     * This table with one range more.
     *
     * @return null when the range overlaps another
     */
    @Nullable
    RangeTable<T> with(long start, long size, T owner) {
        if (start < 0 || size <= 0 || start + size < 0) {
            throw new IllegalArgumentException("range of " + size + " bytes at " + start);
        }
        int at = Arrays.binarySearch(starts, start);
        int index = -at - 1;
        if (at >= 0
                || (index > 0 && ends[index - 1] > start)
                || (index < starts.length && starts[index] < start + size)) {
            return null;
        }
        Object[] grown = insert(owners, index);
        grown[index] = owner;
        return new RangeTable<>(insert(starts, index, start), insert(ends, index, start + size), grown);
    }

    /** This table without the ranges of one owner. */
    RangeTable<T> without(T owner) {
        RangeTable<T> left = new RangeTable<>();
        for (int i = 0; i < starts.length; i++) {
            if (owners[i] != owner) {
                RangeTable<T> next = left.with(starts[i], ends[i] - starts[i], owner(i));
                left = next == null ? left : next;
            }
        }
        return left;
    }

    private static long[] insert(long[] array, int index, long value) {
        long[] grown = new long[array.length + 1];
        System.arraycopy(array, 0, grown, 0, index);
        grown[index] = value;
        System.arraycopy(array, index, grown, index + 1, array.length - index);
        return grown;
    }

    private static Object[] insert(Object[] array, int index) {
        Object[] grown = new Object[array.length + 1];
        System.arraycopy(array, 0, grown, 0, index);
        System.arraycopy(array, index, grown, index + 1, array.length - index);
        return grown;
    }
}
