// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** Generates and performs sequences. */
public final class Fuzzing {
    private Fuzzing() {}

    /** The sequence of a seed. */
    public static List<Op> sequence(Surface surface, long seed, long ops) {
        Supplier<Op> generator = surface.generator(new SplittableRandom(seed));
        List<Op> sequence = new ArrayList<>();
        while (sequence.size() < ops) {
            sequence.add(generator.get());
        }
        return List.copyOf(sequence);
    }

    /** Takes an answer. */
    @FunctionalInterface
    public interface Recorder<E extends Exception> {
        void record(Op op, Answer answer) throws E;
    }

    /**
     * Performs a sequence with fresh objects.
     *
     * @throws dev.alcove.sys.MissingFeatureException where the kernel lacks the surface
     */
    public static <E extends Exception> void perform(
            Surface surface, Syscalls syscalls, List<Op> ops, Recorder<E> recorder) throws E {
        try (Session session = surface.open(syscalls)) {
            for (Op op : ops) {
                recorder.record(op, session.perform(op));
            }
        }
    }

    /** As the other one; gives back the answers. */
    public static List<Answer> perform(Surface surface, Syscalls syscalls, List<Op> ops) {
        List<Answer> answers = new ArrayList<>(ops.size());
        Fuzzing.<RuntimeException>perform(surface, syscalls, ops, (_, answer) -> answers.add(answer));
        return answers;
    }
}
