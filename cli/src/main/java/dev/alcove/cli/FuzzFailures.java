// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.contract.fuzz.Answer;
import dev.alcove.contract.fuzz.Fuzzing;
import dev.alcove.contract.fuzz.Op;
import dev.alcove.contract.fuzz.Session;
import dev.alcove.contract.fuzz.Surface;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Runs sequences in which each call fails at each of its allocations before it gets through, and compares the answers
 * with those of a run without failures: they are the same, if a failure leaves everything as it was.
 */
final class FuzzFailures {
    /**
     * A call in which an allocation failed.
     *
     * @param nth which one, from 1
     * @param what was to be allocated
     */
    private record Failure(String call, int nth, @Nullable String what, long answer) {
        @Override
        public String toString() {
            String outcome = Linux.isError(answer) ? Errno.name(answer) : "success";
            return call + " without its allocation " + nth + " (" + what + "): " + outcome;
        }
    }

    private final PrintWriter out;
    private long failures;

    FuzzFailures(PrintWriter out) {
        this.out = out;
    }

    /** Runs one sequence; prints the first violation. Whether there was none. */
    boolean run(Surface surface, long seed, int ops) {
        List<Op> sequence = Fuzzing.sequence(surface, seed, ops);
        List<Answer> expected = FuzzKernel.emulated.perform(surface, sequence);
        List<Failure> ofThisOp = new ArrayList<>();
        int index = -1;
        try (EmulatedHost host = EmulatedHost.create(Optional.of(new DeviceRequest.Edu()))) {
            try (Session session = surface.open(host.failing((call, nth, what, answer) -> {
                failures++;
                ofThisOp.add(new Failure(call, nth, what, answer));
            }))) {
                for (index = 0; index < sequence.size(); index++) {
                    ofThisOp.clear();
                    Answer answer = session.perform(sequence.get(index));
                    if (!answer.equals(expected.get(index))) {
                        return violation(
                                surface, seed, index, sequence, ofThisOp, answer + " and without failures " + expected.get(index));
                    }
                }
            }
            List<String> leaks = host.leaks();
            return leaks.isEmpty() || violation(surface, seed, -1, sequence, List.of(), "left: " + leaks);
        } catch (RuntimeException | AssertionError e) {
            return violation(surface, seed, index, sequence, ofThisOp, e.toString());
        }
    }

    private boolean violation(
            Surface surface, long seed, int index, List<Op> ops, List<Failure> failed, String what) {
        out.println(surface.name() + " seed " + seed + ": " + what);
        if (index >= 0 && index < ops.size()) {
            Op op = ops.get(index);
            out.println("  op " + index + ": " + op.name() + " " + op.operands());
        }
        failed.forEach(failure -> out.println("  " + failure));
        return false;
    }

    /** Allocations that were made to fail. */
    long failures() {
        return failures;
    }
}
