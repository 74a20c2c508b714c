// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.kernel.KernelProfile;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Alcove as it is: no violation, and the same seed shows the same. */
class ExplorerTest {
    private static void assertClean(Explorer explorer, long first, long last) {
        for (long seed = first; seed <= last; seed++) {
            Optional<Finding> found = explorer.explore(seed);
            assertEquals(List.of(), found.map(Finding::text).orElse(List.of()), "seed " + seed);
        }
    }

    @Test
    void noViolation() {
        assertClean(new Explorer(KernelProfile.linux7_2(), 0, false), 1, 200);
    }

    @Test
    void noViolationWhereOneThingFails() {
        Explorer explorer = new Explorer(KernelProfile.linux7_2(), 0, true);
        assertClean(explorer, 1, 150);
        assertTrue(explorer.failures() > 75, explorer.failures() + " of 150");
    }

    @Test
    void noViolationOnOtherReleases() {
        assertClean(new Explorer(KernelProfile.linux6_12(), 0, false), 301, 330);
        assertClean(new Explorer(KernelProfile.linux6_18(), 0, true), 331, 360);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 8})
    void fewAndManyVcpus(int cpus) {
        assertClean(new Explorer(KernelProfile.linux7_2(), cpus, false), 1, 20);
    }

    @ParameterizedTest
    @CsvSource({"1, false", "2, false", "3, true", "4, true", "5, false", "18, true"})
    void sameSeedSameInterleaving(long seed, boolean failing) {
        Ending one = StormRun.run(Draw.storm(seed, 0, failing), KernelProfile.linux7_2(), Parts.OWN, true);
        Ending other = StormRun.run(Draw.storm(seed, 0, failing), KernelProfile.linux7_2(), Parts.OWN, true);
        assertEquals(one, other);
        assertTrue(one.log().size() >= one.steps() / 2, one.log().size() + " lines");
    }

    /** A recorded schedule is followed to the letter, without the chooser that made it. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void aScheduleCanBeReplayed(long seed) {
        Storm storm = Draw.storm(seed, 0, false);
        Ending first = StormRun.run(storm, KernelProfile.linux7_2(), Parts.OWN, true);
        Ending again =
                StormRun.run(storm.withSwitches(first.switches()), KernelProfile.linux7_2(), Parts.OWN, true);
        assertEquals(first.log(), again.log());
    }
}
