// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.vmm.RunReport;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

class TimelineTest {
    private static final long PAGE = 4096;
    private static final long MIB = 1 << 20;
    private static final GpaRange LOW = GpaRange.of(0, 3072 * MIB);
    private static final GpaRange HIGH = GpaRange.of(4096 * MIB, 1024 * MIB);

    /** @param shared offset and size of what is shared in the block from 4 GiB; it is mapped too */
    private static MemorySample sample(long... shared) {
        RangeSet high = new RangeSet();
        RangeSet mapped = new RangeSet();
        for (int index = 0; index < shared.length; index += 2) {
            high.add(shared[index], shared[index + 1]);
            mapped.add(HIGH.start().value() + shared[index], shared[index + 1]);
        }
        return new MemorySample(
                List.of(new MemorySample.Block(LOW, new RangeSet()), new MemorySample.Block(HIGH, high)), mapped, 0, 0, 0);
    }

    @Test
    void withoutSamplesThereIsNothing() {
        RunReport.Timeline report = new Timeline(1).report();
        assertEquals(List.of(), report.rows());
        assertEquals(List.of(), report.columns());
    }

    @Test
    void rowsCoverAllMemoryOnce() {
        Random random = new Random(42);
        for (int round = 0; round < 50; round++) {
            Timeline timeline = new Timeline(1);
            for (int index = 0; index < 10; index++) {
                long page = random.nextInt(200_000);
                timeline.add(index, sample(page * PAGE, (1 + random.nextInt(5000)) * PAGE));
            }
            List<RunReport.Row> rows = timeline.report().rows();
            long position = 0;
            for (RunReport.Row row : rows) {
                if (position == LOW.end()) {
                    position = HIGH.start().value();
                }
                assertEquals(position, row.gpa(), "seed 42, round " + round);
                assertEquals(0, row.bytes() % PAGE);
                assertTrue(row.bytes() > 0);
                position += row.bytes();
            }
            assertEquals(HIGH.end(), position);
            assertTrue(rows.size() <= 100, rows.size() + " rows");
        }
    }

    @Test
    void onePageThatChangesHasARowOfItsOwn() {
        Timeline timeline = new Timeline(1);
        timeline.add(0, sample());
        timeline.add(5, sample(7 * PAGE, PAGE));
        RunReport.Timeline report = timeline.report();
        List<RunReport.Row> changing =
                report.rows().stream().filter(RunReport.Row::changes).toList();
        assertEquals(List.of(new RunReport.Row(HIGH.start().value() + 7 * PAGE, PAGE, true)), changing);
        int row = report.rows().indexOf(changing.getFirst());
        assertEquals(0, report.columns().get(0).shared().get(row));
        assertEquals(1000, report.columns().get(1).shared().get(row));
        assertEquals(1000, report.columns().get(1).mapped().get(row));
        assertEquals(PAGE, report.columns().get(1).sharedBytes());
    }

    @Test
    void aPageInMuchMemoryIsNotRoundedAway() {
        Timeline timeline = new Timeline(1);
        timeline.add(0, sample(0, PAGE));
        RunReport.Timeline report = timeline.report();
        assertEquals(1, report.columns().getFirst().shared().stream().filter(part -> part > 0).count());
    }

    @Test
    void aLongRunTakesNoMoreRoom() {
        Timeline timeline = new Timeline(1);
        long micros = 0;
        for (int index = 0; index < 10 * Timeline.CAPACITY; index++) {
            timeline.add(micros, sample());
            micros += timeline.period();
        }
        List<RunReport.Column> columns = timeline.report().columns();
        assertTrue(columns.size() <= Timeline.CAPACITY);
        assertEquals(0, columns.getFirst().micros());
        long widest = 0;
        for (int index = 1; index < columns.size(); index++) {
            widest = Math.max(widest, columns.get(index).micros() - columns.get(index - 1).micros());
        }
        assertTrue(widest <= 2 * timeline.period(), "a gap of " + widest + " us with a period of " + timeline.period());
    }

    @Test
    void refusedDmaIsTakenOnceAndWhatTheKernelForgotIsCounted() {
        Timeline timeline = new Timeline(1);
        timeline.addBlocked(1, List.of(new BlockedAccess(0, 0x1000, true), new BlockedAccess(1, 0x2000, false)));
        timeline.addBlocked(2, List.of(new BlockedAccess(1, 0x2000, false), new BlockedAccess(9, 0x3000, true)));
        RunReport.Timeline report = timeline.report();
        assertEquals(
                List.of(
                        new RunReport.BlockedDma(1, 0x1000, true),
                        new RunReport.BlockedDma(1, 0x2000, false),
                        new RunReport.BlockedDma(2, 0x3000, true)),
                report.blockedDma());
        assertEquals(7, report.blockedDmaNotShown());
    }
}
