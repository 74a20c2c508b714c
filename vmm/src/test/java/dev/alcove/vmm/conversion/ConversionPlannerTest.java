// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import dev.alcove.vmm.conversion.ConversionPlanner.Plan;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

class ConversionPlannerTest {
    private static final long PAGE = 4096;

    private final PopulatedRanges first = new PopulatedRanges(8 * PAGE, PAGE, true);
    private final PopulatedRanges second = new PopulatedRanges(8 * PAGE, PAGE, true);
    private final List<Block> blocks = List.of(
            new Block(GpaRange.of(0, 8 * PAGE), first, true),
            new Block(GpaRange.of(8 * PAGE, 8 * PAGE), second, true),
            new Block(GpaRange.of(32 * PAGE, 8 * PAGE), null, false));

    private Plan plan(long page, long pages, boolean toPrivate) {
        GpaRange range = GpaRange.of(page * PAGE, pages * PAGE);
        return ConversionPlanner.plan(blocks, new ConversionRequest(range, toPrivate));
    }

    private static String text(Plan plan) {
        return switch (plan) {
            case Plan.Nothing() -> "nothing";
            case Plan.Refuse(int errno, String _) -> "refuse " + errno;
            case Plan.Steps steps ->
                String.join(" ", steps.steps().stream().map(ConversionPlannerTest::text).toList());
        };
    }

    private static String text(Step step) {
        return switch (step) {
            case Step.Discard(Extent extent) -> "discard" + text(extent);
            case Step.Populate(Extent extent) -> "populate" + text(extent);
            case Step.Attributes(GpaRange hull, boolean toPrivate, List<GpaRange> changed) ->
                (toPrivate ? "private" : "shared") + text(hull) + "/" + changed.size();
            case Step.State(Extent extent, boolean _) -> "state" + text(extent);
            case Step.Free(Extent extent, var side) -> "free" + text(extent) + side;
        };
    }

    private static String text(Extent extent) {
        assertEquals(extent.gpa(), extent.block() * 8L * PAGE + extent.offset());
        return text(extent.range());
    }

    private static String text(GpaRange range) {
        return "(" + range.start().value() / PAGE + ":" + range.size() / PAGE + ")";
    }

    @Test
    void theOrderToPrivate() {
        assertEquals("discard(2:3) private(2:3)/1 state(2:3) free(2:3)SHARED", text(plan(2, 3, true)));
    }

    @Test
    void theOrderToShared() {
        first.discard(0, 8 * PAGE);
        assertEquals("shared(2:3)/1 state(2:3) populate(2:3) free(2:3)PRIVATE", text(plan(2, 3, false)));
    }

    @Test
    void whatHasTheStateCostsNothing() {
        assertEquals("nothing", text(plan(0, 16, false)));
        first.discard(0, 8 * PAGE);
        assertEquals("nothing", text(plan(0, 8, true)));
    }

    @Test
    void aMixtureChangesOnlyWhatDiffers() {
        first.discard(2 * PAGE, PAGE);
        first.discard(5 * PAGE, PAGE);
        assertEquals(
                "discard(0:2) discard(3:2) discard(6:2) private(0:8)/3 state(0:2) state(3:2) state(6:2)"
                        + " free(0:2)SHARED free(3:2)SHARED free(6:2)SHARED",
                text(plan(0, 8, true)));
        assertEquals(
                "shared(2:4)/2 state(2:1) state(5:1) populate(2:1) populate(5:1) free(2:1)PRIVATE free(5:1)PRIVATE",
                text(plan(0, 8, false)));
        assertEquals(6 * PAGE, assertInstanceOf(Plan.Steps.class, plan(0, 8, true)).bytes());
    }

    @Test
    void aRangeMayCrossBlocks() {
        assertEquals(
                "discard(6:2) discard(8:3) private(6:5)/2 state(6:2) state(8:3) free(6:2)SHARED free(8:3)SHARED",
                text(plan(6, 5, true)));
    }

    @ParameterizedTest
    @CsvSource({
        "20, 4, true, refuse 22",
        "20, 4, false, nothing",
        "14, 4, true, refuse 22",
        "14, 4, false, refuse 22",
        "12, 24, true, refuse 22",
        "12, 24, false, refuse 22",
        "32, 2, true, refuse 22",
        "32, 2, false, refuse 22",
        "1048576, 4, true, refuse 22",
        "1048576, 4, false, nothing",
    })
    void outsideRam(long page, long pages, boolean toPrivate, String expected) {
        assertEquals(expected, text(plan(page, pages, toPrivate)));
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
