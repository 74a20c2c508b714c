// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * A virtual address of the VMM's process.
 *
 * @param value bytes, in the lower (user) half of the address space
 */
public record Hva(long value) {
    public Hva {
        if (value < 0) {
            throw new IllegalArgumentException("not a user address: 0x" + Long.toHexString(value));
        }
    }

    /** The address that lies {@code bytes} further. */
    public Hva plus(long bytes) {
        return new Hva(Math.addExact(value, bytes));
    }

    @Override
    public String toString() {
        return "0x" + Long.toHexString(value);
    }
}
