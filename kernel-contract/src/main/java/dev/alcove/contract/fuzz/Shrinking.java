// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Finds a short sequence that still does what a long one does, by leaving parts out: halves, quarters, down to single
 * ops, until no single op can be left out any more (delta debugging).
 */
public final class Shrinking {
    /** Performs a sequence, and decides whether it still does it. */
    @FunctionalInterface
    public interface Trial {
        /** The difference that the sequence ends with, or empty when it does not do it. */
        Optional<Difference> run(List<Op> ops);
    }

    private Shrinking() {}

    /**
     * Shrinks.
     *
     * @param start ends with the op that matters, which is kept
     * @return with the shortest sequence that was found; {@code start} where it could not be reproduced
     */
    public static Difference shrink(Difference start, Trial trial) {
        Optional<Difference> again = trial.run(start.ops());
        if (again.isEmpty()) {
            return start;
        }
        Difference best = again.get();
        int parts = 2;
        while (best.index() > 0) {
            int size = Math.max(1, (best.index() + parts - 1) / parts);
            Difference shorter = withoutAPart(best, size, trial);
            if (shorter != null) {
                best = shorter;
                parts = Math.max(2, parts - 1);
            } else if (size == 1) {
                return best;
            } else {
                parts = Math.min(best.index(), 2 * parts);
            }
        }
        return best;
    }

    /** Leaves out as many parts of a size as can be, one after the other, from the end; null when none can. */
    private static @Nullable Difference withoutAPart(Difference from, int size, Trial trial) {
        Difference best = null;
        List<Op> ops = from.ops();
        for (int end = from.index(); end > 0; end -= size) {
            List<Op> candidate = new ArrayList<>(ops.subList(0, Math.max(0, end - size)));
            candidate.addAll(ops.subList(end, ops.size()));
            Optional<Difference> still = trial.run(candidate);
            if (still.isPresent()) {
                best = still.get();
                ops = best.ops();
                // What is left may be shorter than the candidate: it ends with the first difference.
                end = Math.min(end, best.index() + size);
            }
        }
        return best;
    }
}
