// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.Crossing.Kind;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

class RegionSetTest {
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

    private static List<String> runs(RangeSet set, long from, long to) {
        List<String> runs = new ArrayList<>();
        set.forEach(from, to - from, (offset, size) -> runs.add(offset + "+" + size));
        return runs;
    }

    private static List<String> backwards(RangeSet set, long from, long to) {
        List<String> runs = new ArrayList<>();
        CommonRuns common = CommonRuns.of(set).last(from, to);
        while (common.previous()) {
            runs.add(common.start() + "+" + common.size());
        }
        return runs.reversed();
    }

    /** Regions of 1 KiB, 64 bytes and one for all; changes within one, over a border and over many. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9})
    void agreesWithABitmap(long seed) {
        Random random = new Random(seed);
        int shift = seed % 3 == 0 ? 10 : seed % 3 == 1 ? 6 : 20;
        int size = 20_000 + random.nextInt(20_000);
        RegionSet set = new RegionSet(size, shift);
        BitSet model = new BitSet(size);
        for (int step = 0; step < 20_000; step++) {
            // Mostly full, mostly empty, or in many pieces.
            int longest = random.nextInt(300) == 0 ? size : random.nextInt(20) == 0 ? 500 : 4;
            int from = random.nextInt(size);
            int to = Math.min(size, from + 1 + random.nextInt(longest));
            boolean add = random.nextBoolean();
            if (add) {
                set.add(from, to - from);
            } else {
                set.remove(from, to - from);
            }
            model.set(from, to, add);
            String where = "seed " + seed + " step " + step;
            agree(set, model, random, size, where);
            if (step % 500 == 0) {
                agreeAsAWhole(set, model, random, size, where);
            }
        }
    }

    private static void agree(RegionSet set, BitSet model, Random random, int size, String where) {
        int from = random.nextInt(size);
        int to = from + 1 + random.nextInt(Math.min(size - from, 1 << random.nextInt(16)));
        int inside = model.get(from, to).cardinality();
        assertEquals(model.get(from), set.contains(from), where);
        assertEquals(inside == to - from, set.containsAll(from, to - from), where);
        assertEquals(inside > 0, set.containsAny(from, to - from), where);
        int next = model.get(from) ? model.nextClearBit(from) : model.nextSetBit(from);
        assertEquals(next < 0 ? to : Math.min(next, to), set.runEnd(from, to), where);
    }

    private static void agreeAsAWhole(RegionSet set, BitSet model, Random random, int size, String where) {
        List<String> all = runs(model, 0, size);
        assertEquals(model.cardinality(), set.bytes(), where);
        assertEquals(all.size(), set.runCount(), where);
        RangeSet snapshot = set.snapshot();
        assertEquals(all, runs(snapshot, 0, size), where);
        assertEquals(all, backwards(snapshot, 0, size), where);
        assertEquals(all.size(), snapshot.runCount(), where);
        assertEquals(model.cardinality(), snapshot.bytes(), where);
        assertTrue(set.isStill(snapshot, 0, size), where);
        int from = random.nextInt(size);
        int to = from + 1 + random.nextInt(size - from);
        RangeSet part = set.snapshot(from, to - from);
        assertEquals(runs(model, from, to), runs(part, from, to), where);
        assertTrue(set.isStill(part, from, to - from), where);
        assertTrue(part.isOfTheSameMoment(set.snapshot(from, to - from)), where);
        // A picture for which everything stood still is the same.
        Crossing picture = new Crossing(set, Kind.PICTURE, 0, size);
        picture.run();
        assertEquals(snapshot, RangeSet.joined(picture.trees()), where);
        assertTrue(set.isStill(snapshot, 0, size), where);
        // The copy is a tree like any other.
        BitSet edited = (BitSet) model.clone();
        for (int i = 0; i < 50; i++) {
            int a = random.nextInt(size);
            int b = Math.min(size, a + 1 + random.nextInt(random.nextBoolean() ? 8 : 2000));
            if (random.nextBoolean()) {
                snapshot.add(a, b - a);
                edited.set(a, b);
            } else {
                snapshot.remove(a, b - a);
                edited.clear(a, b);
            }
        }
        assertEquals(runs(edited, 0, size), runs(snapshot, 0, size), where);
        assertEquals(all, runs(set.snapshot(), 0, size), where);
    }

    @Test
    void aChangeThatIsTakenBackIsSeen() {
        RegionSet set = new RegionSet(64, 4);
        set.add(10, 20);
        RangeSet before = set.snapshot(0, 32);
        set.remove(40, 10);
        set.add(50, 14);
        set.add(12, 2);
        assertTrue(set.isStill(before, 0, 32), "nothing there has changed");
        set.remove(15, 2);
        set.add(15, 2);
        assertFalse(set.isStill(before, 0, 32));
        assertFalse(before.isOfTheSameMoment(set.snapshot(0, 32)));
        assertEquals(before, set.snapshot(0, 32));
    }

    @Test
    void aBlockOfAnySizeHasAFewRegions() {
        for (long size : new long[] {4096, 16 << 20, (16 << 20) + 4096, 64L << 30, 1L << 40, (1L << 40) + 4096, 1L << 51}) {
            RegionSet set = new RegionSet(size);
            set.add(0, size);
            assertEquals(size, set.runEnd(0, size));
            assertEquals(1, set.runCount());
            set.remove(size - 4096, 4096);
            assertEquals(size - 4096, set.bytes());
            assertTrue(set.region(size - 1) < 256, "regions of " + size);
            assertTrue(set.region(0) == set.region((16 << 20) - 1), "16 MiB at least");
        }
        RegionSet small = new RegionSet(64 << 20);
        assertEquals(3, small.region((64 << 20) - 1));
    }

    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private final AtomicBoolean stop = new AtomicBoolean();

    private Thread start(Runnable body) {
        return Thread.ofPlatform().start(() -> {
            try {
                body.run();
            } catch (RuntimeException | Error thrown) {
                failure.compareAndSet(null, thrown);
                stop.set(true);
            }
        });
    }

    private void join(List<Thread> threads) throws InterruptedException {
        for (Thread thread : threads) {
            thread.join();
        }
        assertNull(failure.get());
    }

    /** Two threads change what reaches over several borders, each at one moment, in the same regions. */
    @Test
    void readersSeeAChangeOfSeveralRegionsWhollyOrNotAtAll() throws InterruptedException {
        RegionSet set = new RegionSet(256, 4);
        List<Thread> readers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            readers.add(start(() -> {
                while (!stop.get()) {
                    for (int from : new int[] {8, 76}) {
                        List<String> seen = runs(set.snapshot(from, 60), from, from + 60L);
                        assertTrue(seen.isEmpty() || seen.equals(List.of(from + "+60")), seen.toString());
                        assertEquals(from + 60, set.runEnd(from, from + 60));
                    }
                    long bytes = set.bytes();
                    assertTrue(bytes == 0 || bytes == 60 || bytes == 120, "bytes " + bytes);
                }
            }));
        }
        List<Thread> writers = new ArrayList<>();
        for (int from : new int[] {8, 76}) {
            writers.add(start(() -> {
                for (int step = 0; step < 30_000 && !stop.get(); step++) {
                    set.add(from, 60);
                    assertTrue(set.containsAll(from, 60));
                    set.remove(from, 60);
                    assertFalse(set.containsAny(from, 60));
                }
            }));
        }
        for (Thread writer : writers) {
            writer.join();
        }
        stop.set(true);
        join(readers);
    }

    /** Threads whose ranges lie between each other's, most of them over a border: each finds its own as it left it. */
    @Test
    void noChangeIsLost() throws InterruptedException {
        int threads = 4;
        int piece = 24;
        int pieces = 20;
        RegionSet set = new RegionSet((long) threads * piece * pieces, 4);
        BitSet expected = new BitSet();
        List<Thread> writers = new ArrayList<>();
        for (int mine = 0; mine < threads; mine++) {
            int first = mine * piece;
            Random random = new Random(mine);
            writers.add(start(() -> {
                BitSet model = new BitSet();
                for (int step = 0; step < 20_000 && !stop.get(); step++) {
                    int start = first + random.nextInt(pieces) * threads * piece;
                    int from = start + random.nextInt(piece);
                    int to = from + 1 + random.nextInt(start + piece - from);
                    boolean add = random.nextBoolean();
                    model.set(from, to, add);
                    if (add) {
                        set.add(from, to - from);
                    } else {
                        set.remove(from, to - from);
                    }
                    assertEquals(runs(model, start, start + piece), runs(set.snapshot(start, piece), start, start + piece));
                }
                synchronized (expected) {
                    expected.or(model);
                }
            }));
        }
        join(writers);
        assertEquals(runs(expected, 0, threads * piece * pieces), runs(set.snapshot(), 0, Long.MAX_VALUE));
        assertEquals(expected.cardinality(), set.bytes());
    }
}
