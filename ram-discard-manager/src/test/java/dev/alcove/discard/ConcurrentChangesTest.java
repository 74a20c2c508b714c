// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.RamDiscardManager.Change;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

class ConcurrentChangesTest {
    private static final int PAGES = 256;
    private static final long SIZE = PAGES * PAGE;

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

    /**
     * Two sources pass one page on: each gets the next page before it gives up the last. What both have is one page or
     * two neighbours at every moment, but not so for a reader that takes one source now and the other one later.
     */
    @Test
    void readersSeeOnlyStatesThatExisted() throws InterruptedException {
        RamDiscardManager manager = new RamDiscardManager(SIZE);
        PopulatedRanges one = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
        PopulatedRanges two = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
        one.populate(0, PAGE);
        two.populate(0, PAGE);
        assertTrue(manager.addSource(one).isDone());
        assertTrue(manager.addSource(two).isDone());
        List<Thread> readers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            readers.add(start(() -> {
                while (!stop.get()) {
                    List<RamSection> runs = new ArrayList<>();
                    long[] gone = {0};
                    manager.replayPopulated(0, SIZE, (offset, size) -> runs.add(new RamSection(offset, size)));
                    manager.replayDiscarded(0, SIZE, (_, size) -> gone[0] += size);
                    long found = runs.stream().mapToLong(RamSection::size).sum();
                    assertTrue(found == PAGE || found == 2 * PAGE, runs.toString());
                    assertTrue(gone[0] == SIZE - PAGE || gone[0] == SIZE - 2 * PAGE, "discarded " + gone[0]);
                }
            }));
        }
        for (int step = 0; step < 30_000 && !stop.get(); step++) {
            long here = step % PAGES * PAGE;
            long next = (step + 1) % PAGES * PAGE;
            one.populate(next, PAGE);
            two.populate(next, PAGE);
            one.discard(here, PAGE);
            two.discard(here, PAGE);
        }
        stop.set(true);
        join(readers);
    }

    /** The same with the one interleaving that matters: both sources change after one was read and before the other. */
    @Test
    void aReaderLooksAgainWhenSomethingHasChanged() {
        RamDiscardManager manager = new RamDiscardManager(SIZE);
        PopulatedRanges one = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
        PopulatedRanges two = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
        one.populate(0, PAGE);
        two.populate(0, PAGE);
        Runnable[] meanwhile = {() -> {}};
        RamDiscardSource watched = new RamDiscardSource() {
            @Override
            public long granularity() {
                return PAGE;
            }

            @Override
            public RangeSet snapshot() {
                RangeSet now = one.snapshot();
                Runnable once = meanwhile[0];
                meanwhile[0] = () -> {};
                once.run();
                return now;
            }
        };
        assertTrue(manager.addSource(watched).isDone());
        assertTrue(manager.addSource(two).isDone());
        meanwhile[0] = () -> {
            one.populate(PAGE, PAGE);
            two.populate(PAGE, PAGE);
            one.discard(0, PAGE);
            two.discard(0, PAGE);
        };
        List<RamSection> runs = new ArrayList<>();
        manager.replayPopulated(0, SIZE, (offset, size) -> runs.add(new RamSection(offset, size)));
        assertEquals(List.of(new RamSection(PAGE, PAGE)), runs);
        assertTrue(manager.isPopulated(PAGE, PAGE));
    }

    /** Counts how often a page is in use: always 0 or 1. */
    private static final class CountingListener implements RamDiscardListener {
        final AtomicIntegerArray used = new AtomicIntegerArray(PAGES);

        @Override
        public Outcome populate(long offset, long size) {
            for (int page = (int) (offset / PAGE); page < (offset + size) / PAGE; page++) {
                assertEquals(0, used.getAndIncrement(page), "page " + page + " is populated twice");
            }
            return Outcome.done();
        }

        @Override
        public Outcome discard(long offset, long size) {
            for (int page = (int) (offset / PAGE); page < (offset + size) / PAGE; page++) {
                used.set(page, 0);
            }
            return Outcome.done();
        }
    }

    @Test
    void listenersThatComeAndGoSeeEachConversionOrItsResult() throws InterruptedException {
        RamDiscardManager manager = new RamDiscardManager(SIZE);
        PopulatedRanges shared = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
        VirtioMem memory = new VirtioMem(manager, 16 * PAGE, (_, _) -> {});
        assertTrue(manager.addSource(shared).isDone());
        assertTrue(manager.addSource(memory).isDone());
        memory.request(SIZE);
        CountingListener always = new CountingListener();
        assertTrue(manager.register(always, new RamSection(0, SIZE)).isDone());
        List<Thread> threads = new ArrayList<>();
        for (int part = 0; part < 2; part++) {
            int first = part * PAGES / 2;
            threads.add(start(() -> convertAtRandom(manager, shared, new Random(first), first)));
        }
        threads.add(start(() -> {
            Random random = new Random(3);
            for (int step = 0; step < 1500 && !stop.get(); step++) {
                long block = random.nextInt(PAGES / 16) * 16L * PAGE;
                if (memory.plug(block, 1) != VirtioMem.Response.ACK) {
                    assertEquals(VirtioMem.Response.ACK, memory.unplug(block, 1));
                }
            }
        }));
        threads.add(start(() -> {
            for (int step = 0; step < 500 && !stop.get(); step++) {
                CountingListener guest = new CountingListener();
                assertEquals(Outcome.done(), manager.register(guest, new RamSection(0, SIZE)));
                try (Change _ = manager.changeAlone()) {
                    assertUsed(manager, guest);
                    assertUsed(manager, always);
                }
                assertEquals(Outcome.done(), manager.unregister(guest));
            }
        }));
        join(threads);
        assertUsed(manager, always);
    }

    private void convertAtRandom(RamDiscardManager manager, PopulatedRanges shared, Random random, int first) {
        for (int step = 0; step < 20_000 && !stop.get(); step++) {
            long offset = (first + random.nextInt(PAGES / 2)) * PAGE;
            try (Change _ = manager.change()) {
                if (shared.isPopulated(offset)) {
                    assertEquals(Outcome.done(), manager.notifyDiscard(shared, offset, PAGE));
                    shared.discard(offset, PAGE);
                } else {
                    shared.populate(offset, PAGE);
                    assertEquals(Outcome.done(), manager.notifyPopulate(shared, offset, PAGE));
                }
            }
        }
    }

    private static void assertUsed(RamDiscardManager manager, CountingListener listener) {
        for (int page = 0; page < PAGES; page++) {
            assertEquals(manager.isPopulated(page * PAGE, PAGE) ? 1 : 0, listener.used.get(page), "page " + page);
        }
    }

    /** A set that several threads change without a lock has all their changes. */
    @Test
    void noChangeOfASetIsLost() throws InterruptedException {
        RangeSet set = new RangeSet();
        List<Thread> threads = new ArrayList<>();
        for (int part = 0; part < 4; part++) {
            int mine = part;
            threads.add(start(() -> {
                for (int i = 0; i < 5000; i++) {
                    set.add(i * 16L + mine * 4L, 2);
                    if (i % 3 == 0) {
                        set.remove(i * 16L + mine * 4L, 1);
                    }
                }
            }));
        }
        join(threads);
        assertEquals(20_000, set.runCount());
        assertEquals(40_000 - 4 * 1667, set.bytes());
    }
}
