// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * A guest physical address.
 *
 * @param value bytes, at most {@link #MAX}
 */
public record Gpa(long value) implements Comparable<Gpa> {
    /** The last byte that an x86-64 physical address can name (52 bits). */
    public static final long MAX = (1L << 52) - 1;

    public Gpa {
        if (value < 0 || value > MAX) {
            throw new IllegalArgumentException("not a guest physical address: 0x" + Long.toHexString(value));
        }
    }

    /**
     * The address that lies {@code bytes} further.
     *
     * @throws IllegalArgumentException where the sum is no guest physical address
     */
    public Gpa plus(long bytes) {
        return new Gpa(Math.addExact(value, bytes));
    }

    @Override
    public int compareTo(Gpa other) {
        return Long.compare(value, other.value);
    }

    @Override
    public String toString() {
        return "0x" + Long.toHexString(value);
    }
}
