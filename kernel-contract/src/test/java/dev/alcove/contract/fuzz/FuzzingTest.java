// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

class FuzzingTest {
    private static final int OPS = 400;

    static List<Surface> surfaces() {
        return Surfaces.all();
    }

    @ParameterizedTest
    @MethodSource("surfaces")
    void aSeedIsASequence(Surface surface) {
        List<Op> sequence = Fuzzing.sequence(surface, 7, OPS);
        assertEquals(sequence, Fuzzing.sequence(surface, 7, OPS));
        assertEquals(sequence.subList(0, 50), Fuzzing.sequence(surface, 7, 50));
        assertNotEquals(sequence, Fuzzing.sequence(surface, 8, OPS));
    }

    @ParameterizedTest
    @MethodSource("surfaces")
    void aSequenceGetsTheSameAnswersAgain(Surface surface) {
        List<Op> sequence = Fuzzing.sequence(surface, 3, OPS);
        List<Answer> answers = FuzzedKernel.PLAIN.perform(surface, sequence);
        assertEquals(answers, FuzzedKernel.PLAIN.perform(surface, sequence));
        assertTrue(answers.stream().anyMatch(answer -> answer.answer() == 0));
        assertTrue(answers.stream().anyMatch(answer -> answer.answer() < 0));
    }

    @ParameterizedTest
    @MethodSource("surfaces")
    void anySubsequenceIsASequence(Surface surface) {
        SplittableRandom random = new SplittableRandom(11);
        List<Op> sequence = Fuzzing.sequence(surface, 5, OPS);
        for (int round = 0; round < 12; round++) {
            int keep = 1 + random.nextInt(10);
            List<Op> some = sequence.stream().filter(_ -> random.nextInt(10) < keep).toList();
            assertEquals(some.size(), FuzzedKernel.PLAIN.perform(surface, some).size());
        }
    }

    @ParameterizedTest
    @MethodSource("surfaces")
    void everyOpHasNamesForItsOperands(Surface surface) {
        for (Op op : Fuzzing.sequence(surface, 9, OPS)) {
            assertEquals(op.operands().size(), surface.operandNames(op.name()).size(), op.name());
        }
    }

    /** A kernel that answers ENOSPC to the third punch, which is what a shrunk sequence has to come to. */
    private static Syscalls withPlantedDifference(Syscalls kernel) {
        int[] punches = {0};
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(), new Class<?>[] {Syscalls.class}, (_, method, arguments) -> {
                    Object answer;
                    try {
                        answer = method.invoke(kernel, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                    boolean punch = method.getName().equals("fallocate")
                            && arguments[1].equals(Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE);
                    return punch && answer.equals(0) && ++punches[0] == 3 ? -Errno.ENOSPC : answer;
                });
    }

    @Test
    void aPlantedDifferenceIsShrunkToWhatItTakes() {
        Surface surface = Surfaces.named("guest-memfd");
        Performer planted = new FuzzedKernel(FuzzingTest::withPlantedDifference);
        List<Op> sequence = Fuzzing.sequence(surface, 2, 3 * OPS);
        Difference found = Difference.between(
                        sequence,
                        FuzzedKernel.PLAIN.perform(surface, sequence),
                        planted.perform(surface, sequence))
                .orElseThrow();
        assertEquals("fallocate", found.op().name());

        Difference shrunk = Shrinking.shrink(
                found, Performer.stillDiffers(surface, FuzzedKernel.PLAIN, planted, found));
        assertEquals(3, shrunk.ops().stream().filter(op -> op.name().equals("fallocate")).count(), shrunk.toString());
        assertTrue(shrunk.ops().size() <= 9, shrunk.toString());
        assertEquals(-Errno.ENOSPC, shrunk.right().answer());
        // None can be left out.
        for (int i = 0; i < shrunk.ops().size(); i++) {
            int left = i;
            List<Op> rest = IntStream.range(0, shrunk.ops().size())
                    .filter(index -> index != left)
                    .mapToObj(shrunk.ops()::get)
                    .toList();
            assertTrue(Difference.between(
                            rest, FuzzedKernel.PLAIN.perform(surface, rest), planted.perform(surface, rest))
                    .isEmpty());
        }
        List<String> lines = new Description(surface).whole(shrunk, "one", "other");
        assertTrue(lines.getLast().contains("ENOSPC"), lines.toString());
    }

    @Test
    void withOneKernelAloneItsAnswerIsKept() {
        Surface surface = Surfaces.named("guest-memfd");
        Performer planted = new FuzzedKernel(FuzzingTest::withPlantedDifference);
        List<Op> sequence = Fuzzing.sequence(surface, 2, 3 * OPS);
        Difference found = Difference.between(
                        sequence,
                        FuzzedKernel.PLAIN.perform(surface, sequence),
                        planted.perform(surface, sequence))
                .orElseThrow();
        Difference shrunk = Shrinking.shrink(
                found, Performer.stillAnswers(surface, FuzzedKernel.PLAIN, true, found));
        assertEquals(found.op(), shrunk.op());
        assertTrue(shrunk.ops().size() <= 6, shrunk.toString());
        assertEquals(found.left(), FuzzedKernel.PLAIN.perform(surface, shrunk.ops()).getLast());
        assertFalse(shrunk.fields().isEmpty());
    }
}
