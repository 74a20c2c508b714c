// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Arrays;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

class RangeSetTest {
    private static final int SIZE = 64;

    private static boolean[] model(RangeSet set) {
        boolean[] bytes = new boolean[SIZE];
        set.forEach(0, SIZE, (offset, size) -> Arrays.fill(bytes, (int) offset, (int) (offset + size), true));
        return bytes;
    }

    private static int runs(boolean[] model) {
        int runs = 0;
        for (int i = 0; i < SIZE; i++) {
            runs += model[i] && (i == 0 || !model[i - 1]) ? 1 : 0;
        }
        return runs;
    }

    private static boolean all(boolean[] model, int from, int to, boolean value) {
        for (int i = from; i < to; i++) {
            if (model[i] != value) {
                return false;
            }
        }
        return true;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void agreesWithOneBooleanForEachByte(long seed) {
        Random random = new Random(seed);
        RangeSet set = new RangeSet();
        boolean[] model = new boolean[SIZE];
        for (int step = 0; step < 2000; step++) {
            int from = random.nextInt(SIZE);
            int to = from + 1 + random.nextInt(Math.min(SIZE - from, 1 + random.nextInt(SIZE)));
            boolean add = random.nextBoolean();
            if (add) {
                set.add(from, to - from);
            } else {
                set.remove(from, to - from);
            }
            Arrays.fill(model, from, to, add);
            String where = "seed " + seed + " step " + step;
            assertArrayEquals(model, model(set), where);
            assertEquals(runs(model), set.runCount(), where);
            int bytes = 0;
            for (boolean here : model) {
                bytes += here ? 1 : 0;
            }
            assertEquals(bytes, set.bytes(), where);
            int a = random.nextInt(SIZE);
            int b = a + 1 + random.nextInt(SIZE - a);
            assertEquals(all(model, a, b, true), set.containsAll(a, b - a), where);
            assertEquals(!all(model, a, b, false), set.containsAny(a, b - a), where);
            assertEquals(model[a], set.contains(a), where);
            int end = (int) set.runEnd(a, b);
            assertEquals(true, all(model, a, end, model[a]) && (end == b || model[end] != model[a]), where);
            boolean[] gaps = new boolean[SIZE];
            set.forEachGap(a, b - a, (offset, size) -> Arrays.fill(gaps, (int) offset, (int) (offset + size), true));
            for (int i = a; i < b; i++) {
                assertEquals(!model[i], gaps[i], where);
            }
            RangeSet copy = set.copy();
            assertEquals(set, copy, where);
            copy.remove(0, SIZE);
            assertEquals(bytes, set.bytes(), where);
        }
    }

    /** Enough runs for a tree of several levels, by short and by long changes. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void agreesWithABitmapOverManyRuns(long seed) {
        int size = 200_000;
        Random random = new Random(seed);
        RangeSet set = new RangeSet();
        BitSet model = new BitSet(size);
        if (seed % 2 == 0) {
            for (int offset = 0; offset < size; offset += 2) {
                set.add(offset, 1);
                model.set(offset);
            }
        }
        for (int step = 0; step < 40_000; step++) {
            int from = random.nextInt(size);
            int longest = random.nextInt(500) == 0 ? size : random.nextInt(20) == 0 ? 500 : 3;
            int to = Math.min(size, from + 1 + random.nextInt(longest));
            boolean add = random.nextBoolean();
            if (add) {
                set.add(from, to - from);
            } else {
                set.remove(from, to - from);
            }
            model.set(from, to, add);
            int at = random.nextInt(size);
            int next = model.get(at) ? model.nextClearBit(at) : model.nextSetBit(at);
            String where = "seed " + seed + " step " + step;
            assertEquals(model.get(at), set.contains(at), where);
            assertEquals(next < 0 ? size : Math.min(next, size), set.runEnd(at, size), where);
            if (step % 4000 == 0) {
                RangeSet before = set.copy();
                BitSet seen = new BitSet(size);
                before.forEach(0, size, (offset, bytes) -> {
                    seen.set((int) offset, (int) (offset + bytes));
                    // A visit is of one moment, whatever changes meanwhile.
                    set.remove(offset, bytes);
                });
                assertEquals(model, seen, where);
                assertEquals(true, set.isEmpty(), where);
                before.forEach(0, size, set::add);
                assertEquals(before, set, where);
                assertEquals(model.cardinality(), set.bytes(), where);
            }
        }
    }

    @Test
    void reachesTheLastByte() {
        RangeSet set = new RangeSet();
        set.add(Long.MAX_VALUE - 10, 10);
        set.add(Long.MAX_VALUE - 20, 5);
        assertEquals(2, set.runCount());
        set.remove(Long.MAX_VALUE - 1, 1);
        set.add(Long.MAX_VALUE - 15, 5);
        assertEquals(1, set.runCount());
        assertEquals(19, set.bytes());
    }

    @Test
    void subtracts() {
        RangeSet set = new RangeSet();
        set.add(0, 100);
        RangeSet other = new RangeSet();
        other.add(10, 10);
        other.add(90, 20);
        assertEquals("{[0x0, 0xa) [0x14, 0x5a)}", set.minus(other).toString());
        assertEquals("{}", other.minus(other).toString());
    }

    @Test
    void refusesWhatIsNoRange() {
        RangeSet set = new RangeSet();
        assertThrows(IllegalArgumentException.class, () -> set.add(-1, 1));
        assertThrows(IllegalArgumentException.class, () -> set.add(0, 0));
        assertThrows(IllegalArgumentException.class, () -> set.remove(1, Long.MAX_VALUE));
    }
}
