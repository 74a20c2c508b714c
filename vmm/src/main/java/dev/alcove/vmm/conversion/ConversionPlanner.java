// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RamDiscardSource;
import dev.alcove.memory.MemoryBacking.Side;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Turns a request and the present state into steps, without doing any of them.
 *
 * <p>To private: discard, attributes, state, free the shared side. To shared: attributes, state, populate, free the
 * private side. So a device is cut off before a page becomes private, and gets it only after it has become shared: the
 * only order that a conversion in place allows, and safe for two backings too.
 */
public final class ConversionPlanner {
    /**
     * A RAM block as the planner sees it.
     *
     * @param range where it lies
     * @param state populated is shared; null where nothing can be private
     * @param leavesMemoryBehind whether the old side of a converted page has to be freed
     */
    public record Block(GpaRange range, @Nullable RamDiscardSource state, boolean leavesMemoryBehind) {}

    /** What is to be done. */
    public sealed interface Plan {
        /** Nothing: the range has the wanted state. */
        record Nothing() implements Plan {}

        /** The guest may not have this. */
        record Refuse(int errno, String reason) implements Plan {}

        /**
         * Steps, in order.
         *
         * @param bytes how many bytes change their state
         */
        record Steps(List<Step> steps, long bytes) implements Plan {
            public Steps {
                steps = List.copyOf(steps);
            }
        }
    }

    private ConversionPlanner() {}

    /**
     * Plans a conversion.
     *
     * @param blocks ascending by address
     */
    public static Plan plan(List<Block> blocks, ConversionRequest request) {
        GpaRange range = request.range();
        List<Extent> inside = extents(blocks, range);
        long covered = bytes(inside);
        if (covered == 0 && !request.toPrivate()) {
            // Firmware makes the whole hole for devices shared: it always is.
            return new Plan.Nothing();
        }
        if (covered < range.size()) {
            return new Plan.Refuse(
                    Errno.EINVAL, request + ": " + (covered == 0 ? "no RAM is there" : "a part of it is not RAM"));
        }
        List<Extent> changing = new ArrayList<>();
        for (Extent extent : inside) {
            RamDiscardSource state = blocks.get(extent.block()).state();
            if (state == null) {
                return new Plan.Refuse(Errno.EINVAL, request + ": this guest has no private memory");
            }
            collectChanging(extent, state, request.toPrivate(), changing);
        }
        if (changing.isEmpty()) {
            return new Plan.Nothing();
        }
        return new Plan.Steps(steps(blocks, changing, request.toPrivate()), bytes(changing));
    }

    private static long bytes(List<Extent> extents) {
        long bytes = 0;
        for (Extent extent : extents) {
            bytes += extent.size();
        }
        return bytes;
    }

    /** The parts of a range that are RAM, one for each block. */
    private static List<Extent> extents(List<Block> blocks, GpaRange range) {
        List<Extent> extents = new ArrayList<>(1);
        for (int index = 0; index < blocks.size(); index++) {
            GpaRange block = blocks.get(index).range();
            long from = Math.max(block.start().value(), range.start().value());
            long to = Math.min(block.end(), range.end());
            if (from < to) {
                extents.add(new Extent(index, from - block.start().value(), to - from, from));
            }
        }
        return extents;
    }

    /** Adds the runs of an extent that do not have the wanted state yet. */
    private static void collectChanging(
            Extent extent, RamDiscardSource state, boolean toPrivate, List<Extent> changing) {
        long end = extent.offset() + extent.size();
        long position = extent.offset();
        while (position < end) {
            boolean shared = state.isPopulated(position);
            long stop = state.runEnd(position, end);
            if (shared == toPrivate) {
                long gpa = extent.gpa() + (position - extent.offset());
                changing.add(new Extent(extent.block(), position, stop - position, gpa));
            }
            position = stop;
        }
    }

    private static List<Step> steps(List<Block> blocks, List<Extent> changing, boolean toPrivate) {
        List<Step> steps = new ArrayList<>();
        if (toPrivate) {
            changing.forEach(extent -> steps.add(new Step.Discard(extent)));
        }
        List<GpaRange> ranges = new ArrayList<>(changing.size());
        changing.forEach(extent -> ranges.add(extent.range()));
        long start = changing.getFirst().gpa();
        long end = ranges.getLast().end();
        steps.add(new Step.Attributes(GpaRange.of(start, end - start), toPrivate, ranges));
        changing.forEach(extent -> steps.add(new Step.State(extent, toPrivate)));
        if (!toPrivate) {
            changing.forEach(extent -> steps.add(new Step.Populate(extent)));
        }
        for (Extent extent : changing) {
            if (blocks.get(extent.block()).leavesMemoryBehind()) {
                steps.add(new Step.Free(extent, toPrivate ? Side.SHARED : Side.PRIVATE));
            }
        }
        return steps;
    }
}
