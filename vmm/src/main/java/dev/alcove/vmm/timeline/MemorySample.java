// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import java.util.List;

/**
 * The guest's memory at a moment in which no conversion ran.
 *
 * @param blocks ascending by address; the same in all samples of a machine
 * @param mapped guest physical addresses that a device can reach
 * @param toShared conversions to shared so far
 * @param toPrivate conversions to private so far
 * @param failed conversions that were refused or failed so far
 */
public record MemorySample(List<Block> blocks, RangeSet mapped, long toShared, long toPrivate, long failed) {
    /** The set is nobody else's. */
    public MemorySample {
        blocks = List.copyOf(blocks);
    }

    /**
     * One RAM block.
     *
     * @param range where it lies
     * @param shared offsets in it that are shared
     */
    public record Block(GpaRange range, RangeSet shared) {}

    /** All RAM in bytes. */
    public long bytes() {
        return blocks.stream().mapToLong(block -> block.range().size()).sum();
    }

    /** Bytes that are shared. */
    public long sharedBytes() {
        return blocks.stream().mapToLong(block -> block.shared().bytes()).sum();
    }
}
