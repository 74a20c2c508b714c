// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.List;
import java.util.Optional;

/** Performs sequences on one kernel, each with fresh objects. */
@FunctionalInterface
public interface Performer {
    /** The answers, one for each op. */
    List<Answer> perform(Surface surface, List<Op> ops);

    /**
     * Whether a sequence still tells two kernels apart, by the same op and one of the same values.
     *
     * @param found the difference that is to stay
     */
    static Shrinking.Trial stillDiffers(Surface surface, Performer left, Performer right, Difference found) {
        return ops -> Difference.between(ops, left.perform(surface, ops), right.perform(surface, ops))
                .filter(now -> now.op().name().equals(found.op().name())
                        && now.fields().stream().anyMatch(found.fields()::contains));
    }

    /**
     * Whether one kernel still answers to the last op of a sequence as it did, where the other kernel is not at hand.
     *
     * @param ofLeft whether it is the left one
     */
    static Shrinking.Trial stillAnswers(Surface surface, Performer kernel, boolean ofLeft, Difference found) {
        return ops -> {
            Answer now = kernel.perform(surface, ops).getLast();
            return now.equals(ofLeft ? found.left() : found.right())
                    ? Optional.of(new Difference(ops, found.left(), found.right()))
                    : Optional.empty();
        };
    }
}
