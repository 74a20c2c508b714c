// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.util.concurrent.atomic.AtomicLongArray;

/** One bit per page. Atomic words; a range is not changed as one. */
final class PageBits {
    private final AtomicLongArray words;
    private final int size;

    PageBits(int size) {
        this.size = size;
        words = new AtomicLongArray((size + 63) >> 6);
    }

    boolean get(int bit) {
        return (words.get(bit >> 6) >>> bit & 1) != 0;
    }

    void set(int bit) {
        int word = bit >> 6;
        if ((words.get(word) >>> bit & 1) == 0) {
            words.getAndAccumulate(word, 1L << bit, (old, mask) -> old | mask);
        }
    }

    void set(int from, int to) {
        change(from, to, true);
    }

    void clear(int from, int to) {
        change(from, to, false);
    }

    private void change(int from, int to, boolean value) {
        for (int bit = from; bit < to; ) {
            int end = Math.min(to, (bit | 63) + 1);
            long mask = -1L >>> (64 - (end - bit)) << bit;
            words.getAndUpdate(bit >> 6, value ? old -> old | mask : old -> old & ~mask);
            bit = end;
        }
    }

    /** The first bit in [from, to) with this value, or {@code to}. */
    int next(int from, int to, boolean value) {
        for (int bit = from; bit < to; bit = (bit | 63) + 1) {
            long word = words.get(bit >> 6);
            long match = (value ? word : ~word) >>> bit;
            if (match != 0) {
                return Math.min(to, bit + Long.numberOfTrailingZeros(match));
            }
        }
        return to;
    }

    int count(int from, int to) {
        int count = 0;
        for (int bit = next(from, to, true); bit < to; bit = next(bit, to, true)) {
            int end = next(bit, to, false);
            count += end - bit;
            bit = end;
        }
        return count;
    }

    int size() {
        return size;
    }
}
