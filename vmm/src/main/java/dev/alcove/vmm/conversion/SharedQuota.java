// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.sys.Errno;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Keeps a policy's limits. Bytes are exact: they are reserved before anything changes. Extents are counted as they are
 * when a conversion begins, so that conversions that run at the same time may together go above the limit by one each.
 */
final class SharedQuota {
    private final ConversionPolicy policy;
    private final List<Block> blocks;
    private final boolean countsBytes;
    private final ExtentQuota extents;
    /** Shared now, and promised to conversions that run. Kept only where bytes are limited. */
    private final AtomicLong sharedBytes = new AtomicLong();

    SharedQuota(ConversionPolicy policy, List<Block> blocks) {
        this.policy = policy;
        this.blocks = blocks;
        this.countsBytes = policy.sharedBytes() != Long.MAX_VALUE;
        this.extents = new ExtentQuota(blocks, policy.sharedExtents());
        for (Block block : blocks) {
            PopulatedRanges state = block.state();
            sharedBytes.addAndGet(state == null ? block.range().size() : state.populatedBytes());
        }
    }

    /** An answer to a request: 0, or an errno with its reason. */
    record Answer(int errno, String reason) {
        static final Answer YES = new Answer(0, "");
    }

    /**
     * Whether a request may begin; what it makes shared is reserved then.
     *
     * @param guest whether it is the guest's, which the policy is for
     */
    Answer begin(ConversionRequest request, boolean guest) {
        if (!guest) {
            if (countsBytes && !request.toPrivate()) {
                sharedBytes.addAndGet(privateBytes(request.range()));
            }
            return Answer.YES;
        }
        for (GpaRange range : policy.denied()) {
            if (range.overlaps(request.range())) {
                return new Answer(Errno.EPERM, request + ": " + range + " is not to be converted");
            }
        }
        int pieces = extents.begin(request);
        if (pieces > 0) {
            return new Answer(Errno.E2BIG, request + ": the shared memory is in " + pieces + " pieces, and may not be in"
                    + " more than " + policy.sharedExtents());
        }
        return countsBytes && !request.toPrivate() ? reserve(request) : Answer.YES;
    }

    /** Some bytes have changed their state: what became shared was reserved before. */
    void done(boolean toPrivate, long bytes) {
        if (countsBytes && toPrivate) {
            sharedBytes.addAndGet(-bytes);
        }
    }

    /** Bytes that were reserved have not changed, or have changed back. */
    void undone(boolean toPrivate, long bytes) {
        if (countsBytes && !toPrivate) {
            sharedBytes.addAndGet(-bytes);
        }
    }

    private Answer reserve(ConversionRequest request) {
        long wanted = privateBytes(request.range());
        while (true) {
            long now = sharedBytes.get();
            if (wanted > policy.sharedBytes() - now && wanted > 0) {
                return new Answer(Errno.E2BIG, request + ": " + (now >> 10) + " KiB are shared already, and no more than "
                        + (policy.sharedBytes() >> 10) + " KiB may be");
            }
            if (sharedBytes.compareAndSet(now, now + wanted)) {
                return Answer.YES;
            }
        }
    }

    private long privateBytes(GpaRange range) {
        long[] bytes = new long[1];
        for (Block block : blocks) {
            long from = from(block, range);
            long to = to(block, range);
            PopulatedRanges state = block.state();
            if (from < to && state != null) {
                state.snapshot(from, to - from).forEachGap(from, to - from, (offset, size) -> bytes[0] += size);
            }
        }
        return bytes[0];
    }

    private static long from(Block block, GpaRange range) {
        return Math.max(0, range.start().value() - block.range().start().value());
    }

    private static long to(Block block, GpaRange range) {
        return Math.min(block.range().size(), range.end() - block.range().start().value());
    }
}
