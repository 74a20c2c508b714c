// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.RangeVisitor;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Which pages of a RAM block are mapped for devices: one bit a page, 32 KiB for a GiB.
 *
 * <p>Thread safe without a lock, and without allocation: callers that change ranges without a common page never wait
 * for each other. A reader that runs beside a change sees some of its pages changed and some not.
 */
final class MappedPages {
    private static final int SHIFT = 12;

    /** Words before the first page: the array's length, which all read, is not on a cache line that changes. */
    private static final int PAD = 16;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);

    private final long[] words;

    MappedPages(long bytes) {
        this.words = new long[PAD + Math.toIntExact((bytes + (64L << SHIFT) - 1) / (64L << SHIFT))];
    }

    /** Sets or clears a range; the answer is how many bytes changed. */
    long set(long offset, long length, boolean mapped) {
        long from = offset >>> SHIFT;
        long to = (offset + length) >>> SHIFT;
        long changed = 0;
        while (from < to) {
            int word = (int) (from >>> 6);
            long mask = mask(from, to);
            long before = mapped
                    ? (long) WORD.getAndBitwiseOr(words, PAD + word, mask)
                    : (long) WORD.getAndBitwiseAnd(words, PAD + word, ~mask);
            changed += Long.bitCount(mapped ? ~before & mask : before & mask);
            from = (long) (word + 1) << 6;
        }
        return changed << SHIFT;
    }

    /** The bits of a word that a range of pages touches, from its first page on. */
    private static long mask(long from, long to) {
        long end = Math.min(to, (from | 63) + 1);
        return (-1L << from) & (-1L >>> -end);
    }

    /** How many bytes of a range are mapped. */
    long count(long offset, long length) {
        long from = offset >>> SHIFT;
        long to = (offset + length) >>> SHIFT;
        long pages = 0;
        while (from < to) {
            int word = (int) (from >>> 6);
            pages += Long.bitCount((long) WORD.getVolatile(words, PAD + word) & mask(from, to));
            from = (long) (word + 1) << 6;
        }
        return pages << SHIFT;
    }

    /** Where the first run of pages that are mapped (or not) begins at or after an offset; the limit without one. */
    long next(long offset, long limit, boolean mapped) {
        long from = offset >>> SHIFT;
        long to = limit >>> SHIFT;
        while (from < to) {
            int word = (int) (from >>> 6);
            long bits = (long) WORD.getVolatile(words, PAD + word);
            long found = (mapped ? bits : ~bits) & mask(from, to);
            if (found != 0) {
                return (((long) word << 6) + Long.numberOfTrailingZeros(found)) << SHIFT;
            }
            from = (long) (word + 1) << 6;
        }
        return limit;
    }

    /** Visits the maximal runs of mapped pages in a range. */
    void forEach(long offset, long length, RangeVisitor visitor) {
        long end = offset + length;
        long from = next(offset, end, true);
        while (from < end) {
            long to = next(from, end, false);
            visitor.range(from, to - from);
            from = next(to, end, true);
        }
    }
}
