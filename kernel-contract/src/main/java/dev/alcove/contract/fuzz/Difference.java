// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * The first op of a sequence to which two kernels answered differently.
 *
 * @param ops the sequence, up to and with that op
 * @param left what the one answered to it, and {@code right} the other
 */
public record Difference(List<Op> ops, Answer left, Answer right) {
    public Difference {
        ops = List.copyOf(ops);
    }

    /** The op's index. */
    public int index() {
        return ops.size() - 1;
    }

    /** The op. */
    public Op op() {
        return ops.getLast();
    }

    /** Names of the values that are not the same, or that only one side has. */
    public Set<String> fields() {
        Set<String> names = new TreeSet<>(left.values().keySet());
        names.addAll(right.values().keySet());
        names.removeIf(name -> left.values().containsKey(name)
                && left.values().get(name).equals(right.values().get(name)));
        return names;
    }

    /**
     * Compares two recordings.
     *
     * @throws BadInputException when they are not of the same sequence
     */
    public static Optional<Difference> between(Recording left, Recording right) {
        Header one = left.header();
        Header other = right.header();
        if (!one.surface().equals(other.surface()) || one.seed() != other.seed() || one.ops() != other.ops()) {
            throw new BadInputException("the recordings do not belong together: " + one.describe() + ", and "
                    + other.describe());
        }
        List<Op> ops = left.ops();
        if (!ops.equals(right.ops())) {
            throw new BadInputException("the recordings of " + one.describe()
                    + " do not belong together: their ops are not the same (made by two versions of alcove?)");
        }
        return between(ops, left.answers(), right.answers());
    }

    /** Compares answers to one sequence. */
    static Optional<Difference> between(List<Op> ops, List<Answer> left, List<Answer> right) {
        for (int i = 0; i < ops.size(); i++) {
            if (!left.get(i).equals(right.get(i))) {
                return Optional.of(new Difference(ops.subList(0, i + 1), left.get(i), right.get(i)));
            }
        }
        return Optional.empty();
    }
}
