// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * The private/shared state of a RAM block: populated is shared, discarded is private.
 *
 * <p>Thread safe without a lock: each change happens at one moment, and each question is answered for one moment, unless it
 * says otherwise. Threads that change parts far from each other write to no common cache line, see {@link RegionSet}.
 */
public final class PopulatedRanges implements RamDiscardSource {
    private final long size;
    private final long granularity;
    private final RegionSet populated;

    /**
     * The state of a new block.
     *
     * @param size of the block in bytes, a multiple of the granularity
     * @param granularity a power of two, at least 4096
     * @param allPopulated whether the block starts wholly populated, or wholly discarded
     */
    public PopulatedRanges(long size, long granularity, boolean allPopulated) {
        this(size, granularity, allPopulated, new RegionSet(size));
    }

    /** As above, with an empty set of that size. */
    PopulatedRanges(long size, long granularity, boolean allPopulated, RegionSet populated) {
        if (granularity < 4096 || Long.bitCount(granularity) != 1 || size <= 0 || size % granularity != 0) {
            throw new IllegalArgumentException("block of " + size + " bytes with granularity " + granularity);
        }
        this.size = size;
        this.granularity = granularity;
        this.populated = populated;
        if (allPopulated) {
            populated.add(0, size);
        }
    }

    /** Records that a range is populated. */
    public void populate(long offset, long length) {
        check(offset, length);
        populated.add(offset, length);
    }

    /** Records that a range is discarded. */
    public void discard(long offset, long length) {
        check(offset, length);
        populated.remove(offset, length);
    }

    @Override
    public long granularity() {
        return granularity;
    }

    @Override
    public boolean isPopulated(long offset) {
        return populated.contains(offset);
    }

    @Override
    public long runEnd(long offset, long limit) {
        return populated.runEnd(offset, limit);
    }

    /** Whether the whole range is populated. */
    public boolean isPopulated(long offset, long length) {
        return populated.containsAll(offset, length);
    }

    /** Whether the whole range is discarded. */
    public boolean isDiscarded(long offset, long length) {
        return !populated.containsAny(offset, length);
    }

    /** How many bytes are populated. */
    public long populatedBytes() {
        return populated.bytes();
    }

    /** How many bytes are discarded. */
    public long discardedBytes() {
        return size - populated.bytes();
    }

    @Override
    public RangeSet snapshot() {
        return populated.snapshot();
    }

    @Override
    public RangeSet snapshot(long offset, long length) {
        return populated.snapshot(offset, length);
    }

    @Override
    public boolean isStill(RangeSet snapshot, long offset, long length) {
        return populated.isStill(snapshot, offset, length);
    }

    /** How many pieces the populated part has; approximate while several threads change it. */
    public int populatedRuns() {
        return populated.runCount();
    }

    private void check(long offset, long length) {
        if (offset < 0 || length <= 0 || length > size - offset || ((offset | length) & (granularity - 1)) != 0) {
            throw new IllegalArgumentException("offset 0x" + Long.toHexString(offset) + ", length 0x"
                    + Long.toHexString(length) + " in a block of 0x" + Long.toHexString(size) + " bytes");
        }
    }
}
