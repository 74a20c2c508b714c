// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;

/**
 * A part of one RAM block.
 *
 * @param block its number in the guest's memory
 * @param offset in the block, bytes
 * @param size bytes
 * @param gpa where the part lies in the guest physical address space
 */
public record Extent(int block, long offset, long size, long gpa) {
    /** The same as guest physical addresses. */
    public GpaRange range() {
        return GpaRange.of(gpa, size);
    }

    @Override
    public String toString() {
        return "block " + block + " " + range();
    }
}
