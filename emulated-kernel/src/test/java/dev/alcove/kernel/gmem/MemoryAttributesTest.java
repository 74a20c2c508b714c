// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class MemoryAttributesTest {
    private static final int FRAMES = 200;

    @Test
    void agreesWithABitmap() {
        for (long seed = 1; seed <= 50; seed++) {
            Random random = new Random(seed);
            MemoryAttributes attributes = new MemoryAttributes();
            BitSet model = new BitSet(FRAMES);
            for (int step = 0; step < 200; step++) {
                int first = random.nextInt(FRAMES);
                int end = first + 1 + random.nextInt(Math.min(40, FRAMES - first));
                boolean isPrivate = random.nextBoolean();
                String what = "seed " + seed + ", step " + step;
                assertEquals(
                        isPrivate ? model.nextClearBit(first) >= end : model.get(first, end).isEmpty(),
                        attributes.uniform(first, end, isPrivate),
                        what);
                attributes.set(first, end, isPrivate);
                model.set(first, end, isPrivate);
                for (int gfn = 0; gfn < FRAMES; gfn++) {
                    assertEquals(model.get(gfn), attributes.isPrivate(gfn), what);
                }
                check(attributes.intervals(), model, what);
            }
        }
    }

    /** Ranges of all sizes up to the highest frames, of which many are whole nodes of the tree. */
    @Test
    void agreesWithATreeOfRuns() {
        for (long seed = 1; seed <= 200; seed++) {
            Random random = new Random(seed);
            MemoryAttributes attributes = new MemoryAttributes();
            TreeMap<Long, Boolean> model = new TreeMap<>(Map.of(0L, false));
            for (int step = 0; step < 100; step++) {
                long limit = 1L << (9 + random.nextInt(44));
                int shift = random.nextInt(20);
                long first = random.nextLong(limit) >>> shift << shift;
                long length = (1L + random.nextLong(1L << random.nextInt(36))) >>> shift << shift;
                long end = Math.min(first + Math.max(1, length), (1L << 52) - 1);
                boolean isPrivate = random.nextBoolean();
                String what = "seed " + seed + ", step " + step;
                boolean uniform = model.floorEntry(first).getValue() == isPrivate
                        && !model.subMap(first, false, end, false).containsValue(!isPrivate);
                assertEquals(uniform, attributes.uniform(first, end, isPrivate), what);
                attributes.set(first, end, isPrivate);
                boolean after = model.floorEntry(end).getValue();
                model.subMap(first, true, end, true).clear();
                model.put(first, isPrivate);
                model.put(end, after);
                for (long gfn : new long[] {first - 1, first, first + (end - first) / 2, end - 1, end}) {
                    if (gfn >= 0) {
                        assertEquals(model.floorEntry(gfn).getValue(), attributes.isPrivate(gfn), what);
                    }
                }
                assertEquals(runs(model), attributes.intervals(), what);
            }
        }
    }

    private static List<MemoryAttributes.Interval> runs(SortedMap<Long, Boolean> model) {
        List<MemoryAttributes.Interval> runs = new ArrayList<>();
        long first = -1;
        for (Map.Entry<Long, Boolean> bound : model.entrySet()) {
            if (bound.getValue() && first < 0) {
                first = bound.getKey();
            } else if (!bound.getValue() && first >= 0) {
                runs.add(new MemoryAttributes.Interval(first, bound.getKey()));
                first = -1;
            }
        }
        return runs;
    }

    /** Changes of single pages at once, in the same words and new leaves: none is lost. */
    @Test
    void keepsWhatSeveralChangeAtOnce() throws InterruptedException {
        for (long seed = 1; seed <= 8; seed++) {
            MemoryAttributes attributes = new MemoryAttributes();
            attributes.set(1 << 18, 1 << 19, true);
            int threads = 3;
            BitSet[] models = new BitSet[threads];
            List<Thread> running = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                int mine = i;
                BitSet model = new BitSet();
                models[i] = model;
                Random random = new Random(seed * threads + i);
                running.add(Thread.ofPlatform().start(() -> {
                    for (int step = 0; step < 3000; step++) {
                        int page = random.nextInt(1 << 20) * threads + mine;
                        boolean isPrivate = random.nextInt(3) != 0;
                        attributes.set(page, page + 1, isPrivate);
                        model.set(page, isPrivate);
                        model.set(page + (1 << 23), true); // touched
                    }
                }));
            }
            for (Thread thread : running) {
                thread.join();
            }
            for (int page = 0; page < threads << 20; page++) {
                BitSet model = models[page % threads];
                boolean before = page >= 1 << 18 && page < 1 << 19;
                boolean expected = model.get(page + (1 << 23)) ? model.get(page) : before;
                assertEquals(expected, attributes.isPrivate(page), "seed " + seed);
            }
        }
    }

    private static void check(List<MemoryAttributes.Interval> intervals, BitSet model, String what) {
        long covered = 0;
        long last = -1;
        for (MemoryAttributes.Interval interval : intervals) {
            assertTrue(interval.first() > last && interval.end() > interval.first(), what);
            covered += interval.end() - interval.first();
            last = interval.end();
        }
        assertEquals(model.cardinality(), covered, what);
    }
}
