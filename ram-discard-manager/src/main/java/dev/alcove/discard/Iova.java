// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * An address as a device puts it on the bus, before the IOMMU.
 *
 * @param value bytes
 */
public record Iova(long value) {
    public Iova {
        if (value < 0) {
            throw new IllegalArgumentException("not an IOVA that Alcove uses: 0x" + Long.toHexString(value));
        }
    }

    /** The address that lies {@code bytes} further. */
    public Iova plus(long bytes) {
        return new Iova(Math.addExact(value, bytes));
    }

    @Override
    public String toString() {
        return "0x" + Long.toHexString(value);
    }
}
