// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Optional;

/**
 * A range of guest physical addresses, {@code [start, end)}: never empty, never wrapping.
 *
 * @param start the first byte
 * @param size bytes, at least 1
 */
public record GpaRange(Gpa start, long size) {
    public GpaRange {
        if (size <= 0 || size - 1 > Gpa.MAX - start.value()) {
            throw new IllegalArgumentException(
                    "not a range: start " + start + ", size 0x" + Long.toHexString(size));
        }
    }

    /** A range from raw numbers. */
    public static GpaRange of(long start, long size) {
        return new GpaRange(new Gpa(start), size);
    }

    /**
     * The same, for numbers that a guest hands in.
     *
     * @param start any 64-bit value, unsigned
     * @param size bytes, any 64-bit value, unsigned
     * @param alignment a power of two
     * @return empty where the numbers are unaligned, zero, wrap, or exceed 52 bits
     */
    public static Optional<GpaRange> aligned(long start, long size, long alignment) {
        boolean whole = ((start | size) & (alignment - 1)) == 0;
        boolean inside = start >= 0 && start <= Gpa.MAX && size > 0 && size - 1 <= Gpa.MAX - start;
        return whole && inside ? Optional.of(of(start, size)) : Optional.empty();
    }

    /** The first byte behind the range, as a number: it may be one more than {@link Gpa#MAX}. */
    public long end() {
        return start.value() + size;
    }

    public boolean contains(Gpa gpa) {
        return gpa.value() >= start.value() && gpa.value() < end();
    }

    public boolean contains(GpaRange other) {
        return other.start.value() >= start.value() && other.end() <= end();
    }

    public boolean overlaps(GpaRange other) {
        return start.value() < other.end() && other.start.value() < end();
    }

    /** The common part, or empty. */
    public Optional<GpaRange> intersection(GpaRange other) {
        long from = Math.max(start.value(), other.start.value());
        long to = Math.min(end(), other.end());
        return from < to ? Optional.of(of(from, to - from)) : Optional.empty();
    }

    public boolean isAligned(long alignment) {
        return ((start.value() | size) & (alignment - 1)) == 0;
    }

    @Override
    public String toString() {
        return "[" + start + ", 0x" + Long.toHexString(end()) + ")";
    }
}
