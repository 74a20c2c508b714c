// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import java.util.BitSet;
import java.util.List;
import java.util.Random;
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
