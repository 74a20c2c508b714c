// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * A part of a RAM block.
 *
 * @param offset in the block, bytes
 * @param size bytes, above 0
 */
public record RamSection(long offset, long size) {
    public RamSection {
        if (offset < 0 || size <= 0 || offset > Long.MAX_VALUE - size) {
            throw new IllegalArgumentException(
                    "not a section: offset 0x" + Long.toHexString(offset) + ", size 0x" + Long.toHexString(size));
        }
    }

    /** The first offset behind the section. */
    public long end() {
        return offset + size;
    }

    @Override
    public String toString() {
        return "[0x" + Long.toHexString(offset) + ", 0x" + Long.toHexString(end()) + ")";
    }
}
