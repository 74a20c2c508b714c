// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Switch;
import dev.alcove.explore.schedule.Violation;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What became of a case.
 *
 * @param violation null when all is well
 * @param steps how many there were
 * @param switches the schedule that was chosen
 * @param contextSwitches how often another thread went on
 * @param fingerprint of the interleaving
 * @param struck where something failed, by operation; null when nothing did
 * @param log a line for each step, if it was asked for
 */
record Ending(
        @Nullable Violation violation,
        int steps,
        List<Switch> switches,
        int contextSwitches,
        long fingerprint,
        Storm.@Nullable Fault struck,
        List<String> log) {}
