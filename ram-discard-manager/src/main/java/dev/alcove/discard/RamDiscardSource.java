// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * One opinion on which parts of a RAM block are populated: shared memory of a confidential guest, or what a memory
 * device has plugged.
 *
 * <p>Asked from any thread, also while another part of the same block changes, and never told to wait.
 */
public interface RamDiscardSource {
    /** The smallest piece that changes, in bytes: a power of two, at least 4096. */
    long granularity();

    /**
     * What is populated now: a copy of one set that the source changes, {@link RangeSet#copy()} or {@link
     * RegionSet#snapshot()}, so that two answers tell whether anything has changed in between.
     */
    RangeSet snapshot();

    /** The same for a range of the block; what the answer has elsewhere is chance. */
    default RangeSet snapshot(long offset, long length) {
        return snapshot();
    }

    /** Whether a snapshot of that range still is what is populated, and has been all the time since. */
    default boolean isStill(RangeSet snapshot, long offset, long length) {
        return snapshot(offset, length).isOfTheSameMoment(snapshot);
    }

    /** Whether the byte at this offset of the block is populated. */
    default boolean isPopulated(long offset) {
        return snapshot().contains(offset);
    }

    /**
     * Where the run of equal state that holds {@code offset} ends; at most {@code limit}. A source may answer less
     * than the maximal run, but always more than {@code offset}.
     */
    default long runEnd(long offset, long limit) {
        return snapshot().runEnd(offset, limit);
    }
}
