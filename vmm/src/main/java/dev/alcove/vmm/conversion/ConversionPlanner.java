// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.sys.Errno;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Looks at a request and the present state, without changing anything: whether the guest may ask this at all, and what
 * has to change, slice by slice.
 */
final class ConversionPlanner {
    /**
     * A slice ends at this many bytes: what KVM lets a TDX guest convert in one exit, and about what a real IOMMU maps
     * in a millisecond.
     */
    static final long SLICE_BYTES = 2 << 20;

    /** And at this many runs: each costs a call into the kernel of some 10 us. */
    static final int SLICE_RUNS = 64;

    /**
     * A RAM block as the planner sees it.
     *
     * @param range where it lies
     * @param state populated is shared; null where nothing can be private
     */
    record Block(GpaRange range, @Nullable PopulatedRanges state) {}

    /** What a request is, at first sight. */
    enum Verdict {
        /** There is something to look at. */
        POSSIBLE,
        /** It has the wanted state, whatever that is: no RAM, and so shared for good. */
        NOTHING,
        NO_RAM,
        PARTLY_RAM,
        /** The guest has no private memory. */
        NEVER_PRIVATE
    }

    private final List<Block> blocks;

    /** @param blocks ascending by address */
    ConversionPlanner(List<Block> blocks) {
        this.blocks = List.copyOf(blocks);
    }

    List<Block> blocks() {
        return blocks;
    }

    /** Whether a request can be answered by looking at its range alone. */
    Verdict judge(ConversionRequest request) {
        GpaRange range = request.range();
        long covered = 0;
        boolean stateless = false;
        for (int index = 0; index < blocks.size(); index++) {
            Block block = blocks.get(index);
            long part = Math.min(block.range().end(), range.end())
                    - Math.max(block.range().start().value(), range.start().value());
            if (part > 0) {
                covered += part;
                stateless |= block.state() == null;
            }
        }
        if (covered == 0) {
            // Firmware makes the whole hole for devices shared: it always is.
            return request.toPrivate() ? Verdict.NO_RAM : Verdict.NOTHING;
        }
        return covered < range.size() ? Verdict.PARTLY_RAM : stateless ? Verdict.NEVER_PRIVATE : Verdict.POSSIBLE;
    }

    /**
     * The next part of a possible request that lacks the wanted state.
     *
     * @param before the slice that the answer comes after; null for the first
     * @param most at most so many bytes of the block, from the first run on
     * @return null where there is no more
     */
    @Nullable Slice next(ConversionRequest request, @Nullable Slice before, long most) {
        GpaRange range = request.range();
        for (int index = before == null ? 0 : before.block; index < blocks.size(); index++) {
            Block block = blocks.get(index);
            long base = block.range().start().value();
            long from = Math.max(0, range.start().value() - base);
            if (before != null && index == before.block) {
                from = before.end();
            }
            long to = Math.min(block.range().size(), range.end() - base);
            PopulatedRanges state = block.state();
            Slice slice = from < to && state != null ? slice(index, state, from, to, request, before, most) : null;
            if (slice != null) {
                return slice;
            }
        }
        return null;
    }

    private static @Nullable Slice slice(
            int index,
            PopulatedRanges state,
            long from,
            long to,
            ConversionRequest request,
            @Nullable Slice before,
            long most) {
        Slice slice = null;
        long limit = to;
        long position = from;
        while (position < limit) {
            boolean shared = state.isPopulated(position);
            long stop = state.runEnd(position, limit);
            if (shared == request.toPrivate()) {
                if (slice == null) {
                    slice = new Slice(index, request.toPrivate(), before);
                    limit = to - position > most ? position + most : to;
                    stop = Math.min(stop, limit);
                }
                slice.add(position, stop);
                if (slice.runs() == SLICE_RUNS) {
                    return slice;
                }
            }
            position = stop;
        }
        return slice;
    }

    /** Why a request that was judged so is refused: always EINVAL. */
    static String reason(Verdict verdict, ConversionRequest request) {
        return request + ": "
                + switch (verdict) {
                    case NO_RAM -> "no RAM is there";
                    case PARTLY_RAM -> "a part of it is not RAM";
                    case NEVER_PRIVATE -> "this guest has no private memory";
                    case POSSIBLE, NOTHING -> "errno " + Errno.EINVAL;
                };
    }
}
