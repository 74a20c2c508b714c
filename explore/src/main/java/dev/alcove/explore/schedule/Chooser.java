// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.List;

/** Decides who goes on at a step. A pure function of its own seed and of what it was asked before. */
@FunctionalInterface
public interface Chooser {
    /**
     * Chooses.
     *
     * @param last who went until now; it may wait or have ended
     * @param enabled who can go on, ascending by index, never empty
     */
    Strand choose(Strand last, List<Strand> enabled);

    /** Whoever went goes on; if it cannot, the next one that can, in turn. */
    static Strand unforced(Strand last, List<Strand> enabled) {
        for (Strand strand : enabled) {
            if (strand.index() >= last.index()) {
                return strand;
            }
        }
        return enabled.getFirst();
    }
}
