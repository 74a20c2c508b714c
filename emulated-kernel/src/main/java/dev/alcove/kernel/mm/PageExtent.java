// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import org.jspecify.annotations.Nullable;

/**
 * Consecutive pages of a store and their home frames.
 *
 * <p>{@code present}: the page has been handed to the kernel or was found touched. {@code departed}: the home frame
 * went away with somebody who still held it when the page was punched; set for good, under all of the store's lock.
 */
final class PageExtent {
    final long first;
    final long count;
    final long home;
    final PageBits present;
    volatile @Nullable PageBits departed;
    /** Promised by fallocate(2), and still untouched if not present. Made under all of the store's lock. */
    private @Nullable PageBits reserved;

    PageExtent(long first, long count, long home) {
        this.first = first;
        this.count = count;
        this.home = home;
        this.present = new PageBits((int) count);
    }

    long end() {
        return first + count;
    }

    boolean departed(long index) {
        PageBits bits = departed;
        return bits != null && bits.get((int) (index - first));
    }

    /** The first page in [index, end) whose home frame has, or has not, departed; or {@code end}. */
    long nextDeparted(long index, long end, boolean value) {
        PageBits bits = departed;
        if (bits == null) {
            return value ? end : index;
        }
        return first + bits.next((int) (index - first), (int) (end - first), value);
    }

    void depart(long index) {
        PageBits bits = departed;
        if (bits == null) {
            bits = new PageBits((int) count);
            departed = bits;
        }
        bits.set((int) (index - first));
    }

    long frame(long index) {
        return home + (index - first);
    }

    /** Whether a page in [from, to) has been handed out or was found touched. */
    boolean anyPresent(long from, long to) {
        return present.next((int) (from - first), (int) (to - first), true) < to - first;
    }

    void clearPresent(long from, long to) {
        present.clear((int) (from - first), (int) (to - first));
        PageBits promised = reserved;
        if (promised != null) {
            promised.clear((int) (from - first), (int) (to - first));
        }
    }

    void reserve(long index) {
        PageBits bits = reserved;
        if (bits == null) {
            bits = new PageBits((int) count);
            reserved = bits;
        }
        bits.set((int) (index - first));
    }

    /** Undoes {@link #reserve}. */
    void cancel(long index) {
        PageBits bits = reserved;
        if (bits != null) {
            int bit = (int) (index - first);
            bits.clear(bit, bit + 1);
        }
    }

    /** Whether a page is present or promised. */
    boolean occupied(long index) {
        PageBits promised = reserved;
        int bit = (int) (index - first);
        return present.get(bit) || (promised != null && promised.get(bit));
    }

    /** Pages that are present or promised. */
    int occupied() {
        PageBits promised = reserved;
        int size = present.size();
        int occupied = present.count(0, size);
        if (promised != null) {
            for (int bit = promised.next(0, size, true); bit < size; bit = promised.next(bit + 1, size, true)) {
                occupied += present.get(bit) ? 0 : 1;
            }
        }
        return occupied;
    }
}
