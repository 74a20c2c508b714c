// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommufd.IntervalTree.Span;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

/** Areas in regions and over their ends, against one sorted map. */
final class AreaTreeTest {
    private static final long PAGE = 4096;
    private static final long REGION = 1L << 24;

    private final AreaTree tree = new AreaTree();
    /** By the start, so shifted that signed order is unsigned order. */
    private final TreeMap<Long, IopArea> model = new TreeMap<>();

    /** Regions that share a lock and such that do not, and both ends of the numbers. */
    private static long place(Random random) {
        long[] regions = {0, 1, 2, 64, 65, 128, 1L << 30, -2, -1};
        long pages = random.nextBoolean() ? random.nextInt(40) : REGION / PAGE - 1 - random.nextInt(40);
        return regions[random.nextInt(regions.length)] * REGION + pages * PAGE;
    }

    @Test
    void agreesWithASortedMap() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int step = 0; step < 20_000; step++) {
            String where = "seed " + seed + " step " + step;
            long first = place(random);
            long last = random.nextInt(8) == 0 ? place(random) + PAGE - 1 : first + (1 + random.nextInt(6)) * PAGE - 1;
            if (Long.compareUnsigned(last, first) < 0) {
                last = first + PAGE - 1;
            }
            if (random.nextInt(3) == 0 && !model.isEmpty()) {
                Map.Entry<Long, IopArea> entry = model.ceilingEntry(place(random) + Long.MIN_VALUE);
                if (entry != null) {
                    tree.remove(entry.getValue());
                    model.remove(entry.getKey());
                }
            } else if (firstOf(first, last) == null) {
                IopArea area = new IopArea(first, last, 0, 0);
                tree.insert(area);
                model.put(first + Long.MIN_VALUE, area);
            }
            long from = place(random);
            long to = place(random) + PAGE - 1;
            if (Long.compareUnsigned(from, to) <= 0) {
                Span<IopArea> found = tree.first(from, to);
                assertSame(firstOf(from, to), found == null ? null : found.value, where);
                assertEquals(wide(from, to), tree.anyWide(from, to), where);
            }
            if (step % 100 == 0) {
                assertEquals(List.copyOf(model.values()), tree.values(), where);
                assertEquals(holesOfModel(), holesOfTree(), where);
                assertEquals(model.isEmpty(), tree.isEmpty(), where);
            }
        }
        model.values().forEach(tree::remove);
        model.values().forEach(tree::remove);
        assertEquals(List.of(), tree.values(), "seed " + seed);
    }

    private @Nullable IopArea firstOf(long from, long to) {
        Map.Entry<Long, IopArea> before = model.floorEntry(from + Long.MIN_VALUE);
        if (before != null && Long.compareUnsigned(before.getValue().last, from) >= 0) {
            return before.getValue();
        }
        Map.Entry<Long, IopArea> next = model.ceilingEntry(from + Long.MIN_VALUE);
        boolean within = next != null && Long.compareUnsigned(next.getValue().iova, to) <= 0;
        return within ? next.getValue() : null;
    }

    private boolean wide(long from, long to) {
        return model.values().stream()
                .anyMatch(area -> (area.iova ^ area.last) >>> 24 != 0
                        && Long.compareUnsigned(area.iova, to) <= 0
                        && Long.compareUnsigned(area.last, from) >= 0);
    }

    private List<String> holesOfModel() {
        List<String> holes = new ArrayList<>();
        long at = 0;
        for (IopArea area : model.values()) {
            if (area.iova != at) {
                holes.add(at + " " + (area.iova - 1));
            }
            at = area.last + 1;
            if (area.last == -1) {
                return holes;
            }
        }
        holes.add(at + " -1");
        return holes;
    }

    private List<String> holesOfTree() {
        List<String> holes = new ArrayList<>();
        tree.holes(0, -1, (first, last) -> holes.add(first + " " + last));
        return holes;
    }
}
