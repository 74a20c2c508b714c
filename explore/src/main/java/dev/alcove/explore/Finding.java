// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import java.util.ArrayList;
import java.util.List;

/**
 * A violation that was found, and the smallest case that shows it.
 *
 * @param seed of the case that was found first
 * @param kind of the violation, in a few words
 * @param detail what was seen in the smallest case
 * @param machine the smallest case: its machine, what fails in it
 * @param interleaving its steps in order, a line each: number, thread, what is done
 * @param operations of the smallest case
 * @param contextSwitches of the smallest case
 * @param operationsBefore of the first case
 * @param contextSwitchesBefore of the first case
 * @param runs how many cases were tried to shrink it
 */
public record Finding(
        long seed,
        String kind,
        String detail,
        String machine,
        List<String> interleaving,
        int operations,
        int contextSwitches,
        int operationsBefore,
        int contextSwitchesBefore,
        int runs) {
    /** As lines for a person. */
    public List<String> text() {
        List<String> lines = new ArrayList<>();
        lines.add("seed " + seed + ": " + kind);
        lines.add("machine: " + machine);
        lines.add("shrunk to " + operations + " operations and " + contextSwitches + " context switches, from "
                + operationsBefore + " and " + contextSwitchesBefore + ", in " + runs + " runs");
        lines.add("");
        lines.add(" step  thread   what");
        lines.addAll(interleaving);
        lines.add("");
        lines.add("violation: " + detail);
        return lines;
    }
}
