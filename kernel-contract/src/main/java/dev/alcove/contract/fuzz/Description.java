// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Ops, answers and differences for people. */
public final class Description {
    private static final long DECIMAL = 10_000;
    private static final String OBJECT = "@";

    private final Surface surface;

    public Description(Surface surface) {
        this.surface = surface;
    }

    /** The op with its operands by name. */
    public String of(Op op) {
        List<String> names = surface.operandNames(op.name());
        StringBuilder text = new StringBuilder(op.name());
        for (int i = 0; i < op.operands().size(); i++) {
            text.append(' ');
            if (i < names.size()) {
                text.append(names.get(i).replace(OBJECT, "")).append('=');
            }
            text.append(number(op.operand(i)));
        }
        return text.toString();
    }

    /** The values of an answer, with errnos by name. */
    public static String of(Answer answer) {
        return answer.values().entrySet().stream()
                .map(value -> value.getKey() + "=" + value(value.getValue()))
                .collect(Collectors.joining(" "));
    }

    /** Only some values of an answer. */
    private static String of(Answer answer, Set<String> fields) {
        return answer.values().entrySet().stream()
                .filter(value -> fields.contains(value.getKey()) || value.getKey().equals(Answer.ANSWER))
                .map(value -> value.getKey() + "=" + value(value.getValue()))
                .collect(Collectors.joining(" "));
    }

    private static String value(long value) {
        return value < 0 && value >= -4095 ? value + "/" + Errno.name(value) : number(value);
    }

    private static String number(long value) {
        return Math.abs(value) < DECIMAL && value != Long.MIN_VALUE
                ? Long.toString(value)
                : "0x" + Long.toHexString(value);
    }

    /**
     * The difference in lines: the ops before it that have an object in common with it, the op, both answers.
     *
     * @param left who answered the one, and {@code right} the other
     * @param most how many of the ops before
     */
    public List<String> of(Difference difference, String left, String right, int most) {
        List<String> lines = new ArrayList<>();
        List<Integer> related = related(difference);
        List<Integer> shown = related.subList(Math.max(0, related.size() - most), related.size());
        if (shown.size() < related.size()) {
            lines.add("       (" + (related.size() - shown.size()) + " more ops on the same objects before)");
        }
        for (int index : shown) {
            lines.add("%6d %s".formatted(index, of(difference.ops().get(index))));
        }
        lines.add("%6d %s".formatted(difference.index(), of(difference.op())));
        Set<String> fields = difference.fields();
        lines.add("       %s: %s".formatted(left, of(difference.left(), fields)));
        lines.add("       %s: %s".formatted(right, of(difference.right(), fields)));
        return lines;
    }

    /** Indexes of the ops before that name an object which the last one names. */
    private List<Integer> related(Difference difference) {
        Set<Long> objects = objects(difference.op());
        List<Integer> found = new ArrayList<>();
        for (int i = 0; i < difference.index(); i++) {
            Set<Long> named = objects(difference.ops().get(i));
            if (objects.isEmpty() || named.stream().anyMatch(objects::contains)) {
                found.add(i);
            }
        }
        return found;
    }

    private Set<Long> objects(Op op) {
        List<String> names = surface.operandNames(op.name());
        Set<Long> objects = new HashSet<>();
        for (int i = 0; i < Math.min(names.size(), op.operands().size()); i++) {
            if (names.get(i).startsWith(OBJECT)) {
                objects.add(op.operand(i));
            }
        }
        return objects;
    }

    /** All ops of a short sequence in lines, with both answers behind the last one. */
    public List<String> whole(Difference difference, String left, String right) {
        List<String> lines = new ArrayList<>();
        for (int i = 0; i <= difference.index(); i++) {
            lines.add("%6d %s".formatted(i, of(difference.ops().get(i))));
        }
        lines.add("       %s: %s".formatted(left, of(difference.left())));
        lines.add("       %s: %s".formatted(right, of(difference.right())));
        return lines;
    }
}
