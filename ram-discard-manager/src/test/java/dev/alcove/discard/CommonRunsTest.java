// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class CommonRunsTest {
    private static String next(CommonRuns runs) {
        return runs.start() + "+" + runs.size();
    }

    private static List<String> forwards(CommonRuns runs, int from, int to) {
        List<String> found = new ArrayList<>();
        runs.first(from, to);
        while (runs.next()) {
            found.add(next(runs));
        }
        assertFalse(runs.next());
        return found;
    }

    private static List<String> backwards(CommonRuns runs, int from, int to) {
        List<String> found = new ArrayList<>();
        runs.last(from, to);
        while (runs.previous()) {
            found.add(next(runs));
        }
        assertFalse(runs.previous());
        return found;
    }

    private static List<String> runs(BitSet bits, int from, int to) {
        List<String> runs = new ArrayList<>();
        int start = bits.nextSetBit(from);
        while (start >= 0 && start < to) {
            int end = Math.min(to, bits.nextClearBit(start));
            runs.add(start + "+" + (end - start));
            start = bits.nextSetBit(end);
        }
        return runs;
    }

    private static void fill(Random random, RangeSet set, BitSet bits, int size, int count) {
        for (int i = 0; i < count; i++) {
            int from = random.nextInt(size);
            int to = Math.min(size, from + 1 + random.nextInt(1 + size * 2 / Math.max(1, count)));
            boolean add = random.nextInt(3) > 0;
            bits.set(from, to, add);
            if (add) {
                set.add(from, to - from);
            } else {
                set.remove(from, to - from);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void agreesWithBitmaps(long seed) {
        Random random = new Random(seed);
        for (int round = 0; round < 60; round++) {
            // From a handful of runs in one leaf to three levels of nodes.
            int size = random.nextInt(4) == 0 ? 40_000 : 1 + random.nextInt(200);
            int count = random.nextInt(3);
            RangeSet[] sets = new RangeSet[count];
            BitSet all = new BitSet();
            all.set(0, size);
            for (int i = 0; i < count; i++) {
                sets[i] = new RangeSet();
                BitSet bits = new BitSet();
                fill(random, sets[i], bits, size, random.nextInt(size / 4 + 2));
                all.and(bits);
            }
            @Nullable RangeSet not = null;
            if (random.nextBoolean()) {
                not = new RangeSet();
                BitSet bits = new BitSet();
                fill(random, not, bits, size, random.nextInt(size / 4 + 2));
                all.andNot(bits);
            }
            CommonRuns runs = CommonRuns.of(sets, not);
            for (int window = 0; window < 5; window++) {
                int from = window == 0 ? 0 : random.nextInt(size);
                int to = window == 0 ? size : from + random.nextInt(size - from + 1);
                String where = "seed " + seed + " round " + round + " window " + from + " to " + to;
                List<String> expected = runs(all, from, to);
                assertEquals(expected, forwards(runs, from, to), where);
                assertEquals(expected.reversed(), backwards(runs, from, to), where);
                turnsRound(random, runs, expected, from, to, where);
            }
        }
    }

    private static void turnsRound(
            Random random, CommonRuns runs, List<String> expected, int from, int to, String where) {
        if (expected.isEmpty()) {
            return;
        }
        int steps = 1 + random.nextInt(Math.min(20, expected.size()));
        runs.first(from, to);
        for (int i = 0; i < steps; i++) {
            assertTrue(runs.next(), where);
        }
        boolean presentToo = random.nextBoolean();
        runs.back(presentToo);
        for (int i = presentToo ? steps - 1 : steps - 2; i >= 0; i--) {
            assertTrue(runs.previous(), where);
            assertEquals(expected.get(i), next(runs), where);
        }
        assertFalse(runs.previous(), where);
    }

    @Test
    void reachesTheLastByte() {
        RangeSet set = new RangeSet();
        set.add(Long.MAX_VALUE - 10, 10);
        CommonRuns runs = CommonRuns.of(new RangeSet[0], set);
        runs.first(Long.MAX_VALUE - 20, Long.MAX_VALUE);
        assertTrue(runs.next());
        assertEquals(Long.MAX_VALUE - 20, runs.start());
        assertEquals(10, runs.size());
        assertFalse(runs.next());
    }
}
