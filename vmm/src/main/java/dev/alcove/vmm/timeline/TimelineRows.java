// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.vmm.RunReport;
import java.util.ArrayList;
import java.util.List;

/**
 * Cuts the guest's RAM into rows of a picture. A guest shares a few MiB of its many GiB: parts that ever changed get
 * most rows, parts that never did get {@value #QUIET_ROWS} each, however large.
 */
final class TimelineRows {
    private static final long PAGE = 4096;
    private static final int ROWS = 64;
    private static final int QUIET_ROWS = 2;
    /** Parts that change, in a block; those nearest to each other become one until there are no more. */
    private static final int ACTIVE_PARTS = 6;
    /** Beyond this many runs in all samples the search for what changed takes too long. */
    private static final long MOST_RUNS = 400_000;

    private TimelineRows() {}

    /** @param samples of one machine; without any there are no rows */
    static List<RunReport.Row> choose(List<MemorySample> samples) {
        List<RunReport.Row> parts = new ArrayList<>();
        if (!samples.isEmpty()) {
            List<MemorySample.Block> blocks = samples.getFirst().blocks();
            for (int index = 0; index < blocks.size(); index++) {
                addParts(parts, blocks.get(index).range(), changed(samples, index));
            }
        }
        return rows(parts);
    }

    /** What was shared in one sample and private in the next, or the other way round. */
    private static RangeSet changed(List<MemorySample> samples, int block) {
        RangeSet changed = new RangeSet();
        long runs = 0;
        for (int index = 1; index < samples.size(); index++) {
            RangeSet before = samples.get(index - 1).blocks().get(block).shared();
            RangeSet after = samples.get(index).blocks().get(block).shared();
            if (before.equals(after)) {
                continue;
            }
            runs += before.runCount() + after.runCount();
            if (runs > MOST_RUNS) {
                GpaRange range = samples.getFirst().blocks().get(block).range();
                changed.add(0, range.size());
                break;
            }
            before.minus(after).forEach(0, Long.MAX_VALUE, changed::add);
            after.minus(before).forEach(0, Long.MAX_VALUE, changed::add);
        }
        return changed;
    }

    private static void addParts(List<RunReport.Row> parts, GpaRange block, RangeSet changed) {
        List<long[]> active = new ArrayList<>();
        long base = block.start().value();
        changed.forEach(0, block.size(), (offset, size) -> active.add(new long[] {base + offset, base + offset + size}));
        long gap = PAGE;
        while (active.size() > ACTIVE_PARTS) {
            gap *= 2;
            for (int index = active.size() - 1; index > 0; index--) {
                if (active.get(index)[0] - active.get(index - 1)[1] < gap) {
                    active.get(index - 1)[1] = active.get(index)[1];
                    active.remove(index);
                }
            }
        }
        long position = base;
        for (long[] part : active) {
            addPart(parts, position, part[0], false);
            addPart(parts, part[0], part[1], true);
            position = part[1];
        }
        addPart(parts, position, block.end(), false);
    }

    private static void addPart(List<RunReport.Row> parts, long from, long to, boolean changes) {
        if (from < to) {
            parts.add(new RunReport.Row(from, to - from, changes));
        }
    }

    /** Active parts share the rows by the logarithm of their sizes, so that a small one beside a large one is seen. */
    private static List<RunReport.Row> rows(List<RunReport.Row> parts) {
        double weights = parts.stream()
                .filter(RunReport.Row::changes)
                .mapToDouble(TimelineRows::weight)
                .sum();
        long quiet = parts.stream().filter(part -> !part.changes()).count();
        double free = Math.max(ROWS - quiet * QUIET_ROWS, ROWS / 2);
        List<RunReport.Row> rows = new ArrayList<>();
        for (RunReport.Row part : parts) {
            long count = part.changes() ? Math.max(1, Math.round(free * weight(part) / weights)) : QUIET_ROWS;
            addRows(rows, part, Math.min(count, part.bytes() / PAGE));
        }
        return rows;
    }

    private static double weight(RunReport.Row part) {
        return 1 + Math.log((double) part.bytes() / PAGE);
    }

    private static void addRows(List<RunReport.Row> rows, RunReport.Row part, long count) {
        long pages = part.bytes() / PAGE;
        for (long row = 0; row < count; row++) {
            long from = pages * row / count * PAGE;
            long to = pages * (row + 1) / count * PAGE;
            rows.add(new RunReport.Row(part.gpa() + from, to - from, part.changes()));
        }
    }
}
