// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

import dev.alcove.discard.Gpa;
import dev.alcove.discard.RangeSet;
import dev.alcove.vmm.RunReport;
import java.util.ArrayList;
import java.util.List;

/**
 * Samples of one machine, never more than {@value #CAPACITY}: when it is full, every second one goes, and samples are
 * wanted half as often from then on. So a run of a second and one of a day take the same room, spread evenly.
 *
 * <p>For one thread at a time.
 */
public final class Timeline {
    /** Samples that are kept at most. */
    public static final int CAPACITY = 200;

    private static final int BLOCKED_CAPACITY = 2000;
    private static final int PERMILLE = 1000;

    private final List<Taken> samples = new ArrayList<>();
    private final List<RunReport.BlockedDma> blocked = new ArrayList<>();
    private long blockedNotKept;
    private long nextBlocked;
    private long period;

    private record Taken(long micros, MemorySample sample) {}

    /**
     * A timeline without samples.
     *
     * @param period how often a sample is wanted at first, microseconds
     */
    public Timeline(long period) {
        if (period <= 0) {
            throw new IllegalArgumentException("period of " + period + " us");
        }
        this.period = period;
    }

    /** How long after the last sample the next one is wanted, microseconds. */
    public long period() {
        return period;
    }

    /**
     * Adds a sample.
     *
     * @param micros since the machine started; not before the last sample
     */
    public void add(long micros, MemorySample sample) {
        if (samples.size() == CAPACITY) {
            for (int index = CAPACITY - 1; index > 0; index -= 2) {
                samples.remove(index);
            }
            period *= 2;
        }
        samples.add(new Taken(micros, sample));
    }

    /**
     * Adds DMA that was refused since the last sample; what is known already is left out.
     *
     * @param newest of all that the kernel remembers, ascending by sequence
     */
    public void addBlocked(long micros, List<BlockedAccess> newest) {
        for (BlockedAccess access : newest) {
            if (access.sequence() < nextBlocked) {
                continue;
            }
            blockedNotKept += access.sequence() - nextBlocked; // the kernel has forgotten them
            nextBlocked = access.sequence() + 1;
            if (blocked.size() < BLOCKED_CAPACITY) {
                blocked.add(new RunReport.BlockedDma(micros, access.iova(), access.write()));
            } else {
                blockedNotKept++;
            }
        }
    }

    /** The samples as rows of memory and columns of time. */
    public RunReport.Timeline report() {
        List<MemorySample> all = samples.stream().map(Taken::sample).toList();
        List<RunReport.Row> rows = TimelineRows.choose(all);
        List<RunReport.Column> columns = new ArrayList<>();
        for (Taken taken : samples) {
            columns.add(column(taken.micros(), taken.sample(), rows));
        }
        return new RunReport.Timeline(rows, columns, List.copyOf(blocked), blockedNotKept);
    }

    private static RunReport.Column column(long micros, MemorySample sample, List<RunReport.Row> rows) {
        List<Integer> shared = new ArrayList<>(rows.size());
        List<Integer> mapped = new ArrayList<>(rows.size());
        for (RunReport.Row row : rows) {
            shared.add(permille(shared(sample, row), row.bytes()));
            mapped.add(permille(within(sample.mapped(), row.gpa(), row.bytes()), row.bytes()));
        }
        return new RunReport.Column(
                micros,
                sample.sharedBytes(),
                sample.bytes() - sample.sharedBytes(),
                sample.mapped().bytes(),
                sample.toShared(),
                sample.toPrivate(),
                sample.failed(),
                shared,
                mapped);
    }

    /** A row lies in one block. */
    private static long shared(MemorySample sample, RunReport.Row row) {
        for (MemorySample.Block block : sample.blocks()) {
            if (block.range().contains(new Gpa(row.gpa()))) {
                return within(block.shared(), row.gpa() - block.range().start().value(), row.bytes());
            }
        }
        throw new IllegalArgumentException("no block has " + row);
    }

    private static long within(RangeSet set, long from, long bytes) {
        long[] sum = {0};
        set.forEach(from, bytes, (_, size) -> sum[0] += size);
        return sum[0];
    }

    /** Rounded, but nothing and everything only where it is so: one page in a terabyte still shows. */
    private static int permille(long part, long whole) {
        if (part == 0 || part == whole) {
            return part == 0 ? 0 : PERMILLE;
        }
        return Math.clamp(Math.round((double) part / whole * PERMILLE), 1, PERMILLE - 1);
    }
}
