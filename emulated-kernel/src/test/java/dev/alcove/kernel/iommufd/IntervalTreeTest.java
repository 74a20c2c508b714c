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
            assertEquals(model.size(), tree.size(), where);
        }
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
