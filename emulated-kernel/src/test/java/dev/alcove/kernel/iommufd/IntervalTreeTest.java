// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommufd.IntervalTree.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The interval tree against a list. */
final class IntervalTreeTest {
    @Test
    void overlapsAndHolesAgreeWithAList() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        IntervalTree<Integer> tree = new IntervalTree<>();
        List<Span<Integer>> model = new ArrayList<>();
        long origin = -500;
        for (int step = 0; step < 4000; step++) {
            String where = "seed " + seed + " step " + step;
            if (model.size() > 40 || (!model.isEmpty() && random.nextInt(3) == 0)) {
                tree.remove(model.remove(random.nextInt(model.size())));
            } else {
                long first = origin + random.nextInt(1000);
                long last = first + random.nextInt(30);
                if (Long.compareUnsigned(last, first) >= 0) {
                    model.add(tree.insert(first, last, step));
                }
            }
            long from = origin + random.nextInt(1000);
            long to = from + random.nextInt(100);
            if (Long.compareUnsigned(to, from) < 0) {
                to = -1;
            }
            assertEquals(firstStart(model, from, to), start(tree.first(from, to)), where);
            assertEquals(holes(model, from, to), holes(tree, from, to), where);
            assertEquals(model.isEmpty(), tree.isEmpty(), where);
        }
    }

    /** Thousands, so that the tree has several levels; it grows and shrinks by turns. */
    @Test
    void manyAgreeWithASortedList() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int reach : new int[] {1, 40, 100_000}) {
            IntervalTree<Integer> tree = new IntervalTree<>();
            List<Span<Integer>> model = new ArrayList<>();
            for (int step = 0; step < 30_000; step++) {
                String where = "seed " + seed + " reach " + reach + " step " + step;
                boolean growing = step / 6000 % 2 == 0;
                if (!model.isEmpty() && random.nextInt(10) < (growing ? 2 : 8)) {
                    tree.remove(model.remove(growing ? random.nextInt(model.size()) : near(random, model.size())));
                } else {
                    long first = random.nextInt(50_000) - 25_000L;
                    long last = Math.max(first, first + random.nextInt(reach));
                    if (first < 0 && last >= 0) {
                        last = -1;
                    }
                    add(model, tree.insert(first, last, step));
                }
                if (step % 100 == 0) {
                    assertEquals(model.stream().map(span -> span.value).toList(), tree.values(), where);
                }
                if (step % 10 == 0) {
                    long from = random.nextInt(50_000) - 25_000L;
                    long to = from < 0 ? -1 : from + random.nextInt(200);
                    assertSame(firstOf(model, from, to), tree.first(from, to), where);
                }
                assertEquals(model.isEmpty(), tree.isEmpty(), where);
            }
            while (!model.isEmpty()) {
                tree.remove(model.removeLast());
            }
            assertTrue(tree.isEmpty() && tree.first(0, -1) == null, "seed " + seed);
            assertThrows(AssertionError.class, () -> tree.remove(new IntervalTree<Integer>().insert(0, 1, 2)));
        }
    }

    /** Mostly one part of the list, so that nodes become empty. */
    private static int near(Random random, int size) {
        return random.nextInt(20) == 0 ? random.nextInt(size) : Math.min(size - 1, random.nextInt(50) + size / 3);
    }

    /** Behind those that start at the same number. */
    private static void add(List<Span<Integer>> model, Span<Integer> span) {
        int low = 0;
        for (int high = model.size(); low < high; ) {
            int middle = (low + high) >>> 1;
            if (Long.compareUnsigned(model.get(middle).first, span.first) <= 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        model.add(low, span);
    }

    private static @Nullable Span<Integer> firstOf(List<Span<Integer>> model, long from, long to) {
        for (Span<Integer> span : model) {
            if (Long.compareUnsigned(span.last, from) >= 0) {
                return Long.compareUnsigned(span.first, to) <= 0 ? span : null;
            }
        }
        return null;
    }

    private static String start(@Nullable Span<Integer> span) {
        return span == null ? "none" : Long.toUnsignedString(span.first);
    }

    private static String firstStart(List<Span<Integer>> model, long from, long to) {
        return model.stream()
                .filter(span -> Long.compareUnsigned(span.first, to) <= 0 && Long.compareUnsigned(span.last, from) >= 0)
                .min(Comparator.comparing(span -> span.first, Long::compareUnsigned))
                .map(IntervalTreeTest::start)
                .orElse("none");
    }

    private static List<Long> holes(IntervalTree<Integer> tree, long from, long to) {
        List<Long> points = new ArrayList<>();
        tree.holes(from, to, (first, last) -> {
            for (long at = first; ; at++) {
                points.add(at);
                if (at == last) {
                    return true;
                }
            }
        });
        return points;
    }

    private static List<Long> holes(List<Span<Integer>> model, long from, long to) {
        List<Long> points = new ArrayList<>();
        for (long at = from; ; at++) {
            long point = at;
            if (model.stream()
                    .noneMatch(span -> Long.compareUnsigned(span.first, point) <= 0
                            && Long.compareUnsigned(span.last, point) >= 0)) {
                points.add(at);
            }
            if (at == to) {
                return points;
            }
        }
    }
}
