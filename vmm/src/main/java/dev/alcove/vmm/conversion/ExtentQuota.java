// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.PopulatedRanges;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * In how many pieces the shared memory of a VM may be.
 *
 * <p>To count them means to read what all vCPUs write. So who has counted may make some more without counting again: a
 * small part of those that are left then. Such promises count as pieces for others, and are taken back where the limit is
 * near; the answer never depends on them. Thread safe: promises are spent by compare and set, each thread its own, and made
 * and taken back under the monitor.
 */
final class ExtentQuota {
    /** A power of two. */
    private static final int PROMISES = 32;

    /** Promises are two cache lines apart, in ints, as processors fetch lines in pairs; so is the first from what is before. */
    private static final int STRIDE = 32;

    private final List<Block> blocks;
    private final int limit;
    /** So many pieces there are where every second page is private. */
    private final long most;

    private final AtomicIntegerArray promises = new AtomicIntegerArray((PROMISES + 1) * STRIDE);

    /**
     * A quota of which nothing is promised.
     *
     * @param limit pieces, at least 1
     */
    ExtentQuota(List<Block> blocks, int limit) {
        this.blocks = blocks;
        this.limit = limit;
        this.most = blocks.stream()
                .filter(block -> block.state() != null)
                .mapToLong(block -> Math.ceilDiv(block.range().size(), 2 * ConversionRequest.PAGE))
                .sum();
    }

    /**
     * Whether a request may begin, as it looks now.
     *
     * @return 0, or how many pieces there are already where that is too many
     */
    int begin(ConversionRequest request) {
        if (most <= limit) {
            return 0;
        }
        int growth = growth(request);
        return growth == 0 || spend(growth) ? 0 : count(growth);
    }

    private boolean spend(int pieces) {
        int mine = slot((int) Thread.currentThread().threadId());
        for (int left = promises.get(mine); left >= pieces; left = promises.get(mine)) {
            if (promises.compareAndSet(mine, left, left - pieces)) {
                return true;
            }
        }
        return false;
    }

    private synchronized int count(int growth) {
        // Promises first: one that is spent meanwhile counts twice, and not never.
        int promised = 0;
        for (int i = 0; i < PROMISES; i++) {
            promised += promises.get(slot(i));
        }
        int count = pieces();
        int left = limit - count - growth - promised;
        if (left < 0) {
            for (int i = 0; i < PROMISES; i++) {
                promises.set(slot(i), 0);
            }
            count = pieces();
            left = limit - count - growth;
        }
        if (left < 0) {
            // The first piece is always possible, be it in several blocks.
            return count;
        }
        promises.addAndGet(slot((int) Thread.currentThread().threadId()), left / PROMISES);
        return 0;
    }

    private int pieces() {
        int count = 0;
        for (Block block : blocks) {
            PopulatedRanges state = block.state();
            count += state == null ? 0 : state.populatedRuns();
        }
        return count;
    }

    /** How many blocks have a piece more: shared memory that touches no other, or a hole in the middle of a piece. */
    private int growth(ConversionRequest request) {
        int growth = 0;
        for (Block block : blocks) {
            PopulatedRanges shared = block.state();
            long base = block.range().start().value();
            long from = Math.max(0, request.range().start().value() - base);
            long to = Math.min(block.range().size(), request.range().end() - base);
            if (from >= to || shared == null) {
                continue;
            }
            long low = Math.max(0, from - 1);
            long high = Math.min(block.range().size(), to + 1);
            boolean more = request.toPrivate()
                    ? low < from && to < high && shared.isPopulated(low, high - low)
                    : shared.isDiscarded(low, high - low);
            growth += more ? 1 : 0;
        }
        return growth;
    }

    private static int slot(int number) {
        return (number & PROMISES - 1) * STRIDE + STRIDE;
    }
}
