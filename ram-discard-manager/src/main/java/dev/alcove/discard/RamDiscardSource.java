// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * One opinion on which parts of a RAM block are populated: shared memory of a confidential guest, or what a memory
 * device has plugged.
 *
 * <p>Called from any thread, also while another part of the same block changes.
 */
public interface RamDiscardSource {
    /** The smallest piece that changes, in bytes: a power of two, at least 4096. */
    long granularity();

    /** Whether the byte at this offset of the block is populated. */
    boolean isPopulated(long offset);

    /**
     * Where the run of equal state that holds {@code offset} ends; at most {@code limit}. A source may answer less
     * than the maximal run, but always more than {@code offset}.
     */
    long runEnd(long offset, long limit);
}
