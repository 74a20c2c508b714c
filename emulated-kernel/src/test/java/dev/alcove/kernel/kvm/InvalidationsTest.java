// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class InvalidationsTest {
    private record Range(long first, long end) {}

    private final Invalidations invalidations = new Invalidations();

    @Test
    void coversAllFramesUntilItIsNarrowed() {
        int place = invalidations.start(5, 7);
        assertTrue(invalidations.cover(100));
        invalidations.narrow(place, 5, 7);
        assertFalse(invalidations.cover(4));
        assertTrue(invalidations.cover(5));
        assertFalse(invalidations.cover(7));
        invalidations.end(5, 7);
        assertFalse(invalidations.cover(5));
    }

    /** Also those whose numbers are alike in the lower bits. */
    @Test
    void threadsHaveAPlaceEachAndKeepIt() throws InterruptedException {
        Set<Integer> places = ConcurrentHashMap.newKeySet();
        for (int i = 0; i < 16; i++) {
            Thread thread = Thread.ofPlatform().start(() -> {
                int place = invalidations.start(5, 7);
                invalidations.end(5, 7);
                if (invalidations.start(6, 8) == place) {
                    places.add(place);
                }
                invalidations.end(6, 8);
            });
            thread.join();
            for (int skipped = 0; skipped < 15; skipped++) {
                Thread.ofPlatform().start(() -> {}).join();
            }
        }
        assertEquals(16, places.size());
        int place = invalidations.start(1, 2);
        assertTrue(places.contains(place), "of a thread that has ended");
        invalidations.end(1, 2);
        assertFalse(invalidations.cover(1));
    }

    @Test
    void theEndOfWhatHasNotBegunEndsNothing() {
        for (int i = 0; i < 20; i++) {
            invalidations.start(i, i + 1);
        }
        invalidations.end(30, 31);
        for (int i = 0; i < 20; i++) {
            assertTrue(invalidations.cover(i));
            invalidations.end(i, i + 1);
        }
        assertFalse(invalidations.cover(0));
    }

    /** Within each other and one behind the other, more than there are places for, and the same range twice. */
    @Test
    void agreesWithAList() {
        for (long seed = 1; seed <= 50; seed++) {
            Random random = new Random(seed);
            List<Range> model = new ArrayList<>();
            int most = seed % 2 == 0 ? 16 : 24;
            for (int step = 0; step < 300; step++) {
                if (model.size() < most && random.nextBoolean()) {
                    long first = random.nextInt(40);
                    Range range = new Range(first, first + 1 + random.nextInt(3));
                    invalidations.narrow(
                            invalidations.start(range.first, range.end), range.first, range.end);
                    model.add(range);
                } else if (!model.isEmpty()) {
                    Range range = model.remove(random.nextInt(model.size()));
                    invalidations.end(range.first, range.end);
                }
                for (int gfn = 0; gfn < 44; gfn++) {
                    int frame = gfn;
                    boolean covered = model.stream().anyMatch(range -> range.first <= frame && frame < range.end);
                    String what = "seed " + seed + ", step " + step;
                    if (most <= 16) {
                        assertEquals(covered, invalidations.cover(gfn), what);
                    } else {
                        assertTrue(!covered || invalidations.cover(gfn), what);
                    }
                }
            }
            model.forEach(range -> invalidations.end(range.first, range.end));
            assertFalse(invalidations.cover(1), "seed " + seed);
        }
    }

    @Test
    void anEndWithoutAStartIsNone() {
        invalidations.end(1, 2);
        assertFalse(invalidations.cover(1));
        invalidations.narrow(invalidations.start(1, 2), 1, 2);
        assertTrue(invalidations.cover(1));
    }
}
