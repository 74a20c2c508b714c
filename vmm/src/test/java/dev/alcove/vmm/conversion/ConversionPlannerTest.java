// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import java.util.List;
import java.util.StringJoiner;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

class ConversionPlannerTest {
    private static final long PAGE = 4096;

    private final PopulatedRanges first = new PopulatedRanges(8 * PAGE, PAGE, true);
    private final PopulatedRanges second = new PopulatedRanges(8 * PAGE, PAGE, true);
    private final ConversionPlanner planner = new ConversionPlanner(List.of(
            new Block(GpaRange.of(0, 8 * PAGE), first),
            new Block(GpaRange.of(8 * PAGE, 8 * PAGE), second),
            new Block(GpaRange.of(32 * PAGE, 8 * PAGE), null)));

    private String plan(long page, long pages, boolean toPrivate) {
        return plan(page, pages, toPrivate, ConversionPlanner.SLICE_BYTES / PAGE);
    }

    /** The runs of each slice in pages: block:start+size. */
    private String plan(long page, long pages, boolean toPrivate, long most) {
        ConversionRequest request = new ConversionRequest(GpaRange.of(page * PAGE, pages * PAGE), toPrivate);
        ConversionPlanner.Verdict verdict = planner.judge(request);
        if (verdict != ConversionPlanner.Verdict.POSSIBLE) {
            return verdict.toString();
        }
        StringJoiner text = new StringJoiner(" | ");
        Slice slice = planner.next(request, null, most * PAGE);
        while (slice != null) {
            StringJoiner runs = new StringJoiner(" ");
            long bytes = 0;
            for (int run = 0; run < slice.runs(); run++) {
                runs.add(slice.block + ":" + slice.offset(run) / PAGE + "+" + slice.size(run) / PAGE);
                bytes += slice.size(run);
            }
            assertEquals(bytes, slice.bytes());
            assertEquals(toPrivate, slice.toPrivate);
            text.add(runs.toString());
            slice = planner.next(request, slice, most * PAGE);
        }
        return text.toString();
    }

    @Test
    void theOrderOfSteps() {
        assertEquals(List.of(Step.DISCARD, Step.ATTRIBUTES, Step.STATE), List.of(Step.order(true)));
        assertEquals(List.of(Step.ATTRIBUTES, Step.STATE, Step.POPULATE), List.of(Step.order(false)));
    }

    @Test
    void whatHasTheStateCostsNothing() {
        assertEquals("", plan(0, 16, false));
        first.discard(0, 8 * PAGE);
        assertEquals("", plan(0, 8, true));
        assertEquals("1:0+1", plan(0, 9, true));
    }

    @Test
    void aMixtureChangesOnlyWhatDiffers() {
        first.discard(2 * PAGE, PAGE);
        first.discard(5 * PAGE, PAGE);
        assertEquals("0:0+2 0:3+2 0:6+2", plan(0, 8, true));
        assertEquals("0:2+1 0:5+1", plan(0, 8, false));
        assertEquals("0:3+1", plan(3, 1, true));
    }

    @Test
    void aSliceEndsWithItsBlock() {
        assertEquals("0:6+2 | 1:0+3", plan(6, 5, true));
    }

    @Test
    void aSliceEndsAfterSomeBytes() {
        first.discard(2 * PAGE, PAGE);
        assertEquals("0:1+1 0:3+1 | 0:4+3 | 0:7+1 | 1:0+1", plan(1, 8, true, 3));
    }

    @Test
    void aSliceEndsAfterSomeRuns() {
        PopulatedRanges state = new PopulatedRanges(1024 * PAGE, PAGE, true);
        for (long page = 0; page < 1024; page += 2) {
            state.discard(page * PAGE, PAGE);
        }
        GpaRange all = GpaRange.of(0, 1024 * PAGE);
        ConversionPlanner alternating = new ConversionPlanner(List.of(new Block(all, state)));
        ConversionRequest request = new ConversionRequest(all, true);
        int slices = 0;
        for (Slice slice = alternating.next(request, null, all.size());
                slice != null;
                slice = alternating.next(request, slice, all.size())) {
            assertEquals(ConversionPlanner.SLICE_RUNS, slice.runs());
            slices++;
        }
        assertEquals(512 / ConversionPlanner.SLICE_RUNS, slices);
    }

    @ParameterizedTest
    @CsvSource({
        "20, 4, true, NO_RAM",
        "20, 4, false, NOTHING",
        "14, 4, true, PARTLY_RAM",
        "14, 4, false, PARTLY_RAM",
        "12, 24, true, PARTLY_RAM",
        "12, 24, false, PARTLY_RAM",
        "32, 2, true, NEVER_PRIVATE",
        "32, 2, false, NEVER_PRIVATE",
        "1048576, 4, true, NO_RAM",
        "1048576, 4, false, NOTHING",
    })
    void outsideRam(long page, long pages, boolean toPrivate, String expected) {
        assertEquals(expected, plan(page, pages, toPrivate));
    }

    @ParameterizedTest
    @CsvSource({
        "0, 1, 0, true",
        "0, 1, 16, true",
        "4096, 512, 17, true",
        "4096, 512, 18, true",
        "4096, 512, 19, false",
        "0, 1, 32, false",
        "0, 1, -1, false",
        "0, 0, 16, false",
        "1, 1, 16, false",
        "0, -1, 16, false",
        "-4096, 1, 16, false",
        "0, 2251799813685248, 16, false",
        "0, 4503599627370496, 16, false",
        "4096, 9223372036854775807, 16, false",
    })
    void hypercallArguments(long gpa, long pages, long attributes, boolean good) {
        assertEquals(
                good, ConversionRequest.ofHypercall(gpa, pages, attributes).isPresent());
    }
}
