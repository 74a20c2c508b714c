// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Switch;
import dev.alcove.explore.schedule.Violation;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * Makes a case smaller as long as it shows a violation of the same kind: fewer threads, fewer operations, fewer
 * switches (delta debugging: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).
 */
final class Shrinking {
    private static final int MOST_RUNS = 1500;
    private static final int OTHER_SCHEDULES = 4;

    private final Function<Storm, Ending> runner;
    private final String kind;
    private Storm best;
    private int runs;

    private Shrinking(Function<Storm, Ending> runner, Storm start, String kind) {
        this.runner = runner;
        this.best = start;
        this.kind = kind;
    }

    /**
     * What is left of a case.
     *
     * @param runs how many cases were tried
     */
    record Shrunk(Storm storm, int runs) {}

    /**
     * Shrinks.
     *
     * @param ending what the case came to: a violation
     */
    static Shrunk shrink(Function<Storm, Ending> runner, Storm storm, Ending ending, Violation violation) {
        Storm fixed = storm.withSwitches(ending.switches()).withFault(ending.struck());
        Shrinking shrinking = new Shrinking(runner, storm, violation.kind());
        if (!shrinking.keeps(fixed)) {
            return new Shrunk(storm, shrinking.runs);
        }
        int before;
        do {
            before = shrinking.size();
            shrinking.dropPrograms();
            shrinking.dropOps();
            shrinking.dropSwitches();
        } while (shrinking.size() < before && shrinking.runs < MOST_RUNS);
        shrinking.dropPrivatePages();
        return new Shrunk(shrinking.best, shrinking.runs);
    }

    private int size() {
        return best.ops() + switches(best).size();
    }

    private static List<Switch> switches(Storm storm) {
        List<Switch> switches = storm.switches();
        return switches == null ? List.of() : switches;
    }

    /** Whether a case shows the same; then it is the best so far, with the switches that it really made. */
    private boolean keeps(Storm candidate) {
        if (runs >= MOST_RUNS) {
            return false;
        }
        runs++;
        Ending ending = runner.apply(candidate);
        Violation violation = ending.violation();
        boolean same = violation != null && violation.kind().equals(kind);
        if (same) {
            best = candidate.withSwitches(ending.switches()).withFault(ending.struck());
        }
        return same;
    }

    /** As {@link #keeps}; what is left may need another schedule. */
    private boolean keepsSomehow(Storm candidate) {
        boolean same = keeps(candidate);
        for (int other = 1; other <= OTHER_SCHEDULES && !same; other++) {
            same = keeps(candidate.withSchedule(runs));
        }
        return same;
    }

    private void dropPrograms() {
        for (int program = 0; program < best.vcpus().size() + 2; program++) {
            int dropped = program;
            List<Op> rest = new ArrayList<>();
            for (int other = 0; other < best.vcpus().size() + 2; other++) {
                if (other != dropped) {
                    rest.addAll(program(best, other).ops());
                }
            }
            if (rest.size() < best.ops()) {
                keepsSomehow(with(best, rest));
            }
        }
    }

    private static Program program(Storm storm, int index) {
        int cpus = storm.vcpus().size();
        return index < cpus ? storm.vcpus().get(index) : index == cpus ? storm.device() : storm.plug();
    }

    private void dropOps() {
        List<Op> all = new ArrayList<>();
        for (int program = 0; program < best.vcpus().size() + 2; program++) {
            all.addAll(program(best, program).ops());
        }
        minimise(all, rest -> keepsSomehow(with(best, rest)));
    }

    private void dropPrivatePages() {
        List<Integer> pages = new ArrayList<>();
        for (int page = 0; page < best.layout().pages(); page++) {
            if ((best.privateAtStart() >>> page & 1) != 0) {
                pages.add(page);
            }
        }
        minimise(pages, rest -> keeps(best.withPrivateAtStart(
                rest.stream().mapToLong(page -> 1L << page).sum())));
    }

    private void dropSwitches() {
        minimise(switches(best), rest -> keeps(best.withSwitches(rest)));
    }

    private static Storm with(Storm storm, List<Op> kept) {
        Set<Integer> numbers = new HashSet<>();
        kept.forEach(op -> numbers.add(op.number()));
        return storm.withPrograms(
                storm.vcpus().stream().map(program -> only(program, numbers)).toList(),
                only(storm.device(), numbers),
                only(storm.plug(), numbers));
    }

    private static Program only(Program program, Set<Integer> numbers) {
        List<Op> ops = new ArrayList<>();
        for (Op op : program.ops()) {
            if (numbers.contains(op.number())) {
                ops.add(op);
            }
        }
        return new Program(program.name(), ops);
    }

    /** Leaves out ever smaller pieces of a list. */
    private static <T> void minimise(List<? extends T> list, Predicate<List<T>> keeps) {
        List<T> kept = new ArrayList<>(list);
        for (int piece = Math.max(1, kept.size()); piece >= 1 && !kept.isEmpty(); piece /= 2) {
            for (int at = 0; at < kept.size(); ) {
                List<T> rest = new ArrayList<>(kept.subList(0, at));
                rest.addAll(kept.subList(Math.min(kept.size(), at + piece), kept.size()));
                if (keeps.test(rest)) {
                    kept = rest;
                } else {
                    at += piece;
                }
            }
        }
    }

    @Override
    public String toString() {
        return kind + ", " + runs + " runs";
    }
}
