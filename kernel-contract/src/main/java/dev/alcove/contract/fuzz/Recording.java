// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.List;

/** A sequence and what one kernel answered. */
public record Recording(Header header, List<Step> steps) {
    public Recording {
        steps = List.copyOf(steps);
    }

    /** An op and its answer. */
    public record Step(Op op, Answer answer) {}

    public List<Op> ops() {
        return steps.stream().map(Step::op).toList();
    }

    public List<Answer> answers() {
        return steps.stream().map(Step::answer).toList();
    }
}
