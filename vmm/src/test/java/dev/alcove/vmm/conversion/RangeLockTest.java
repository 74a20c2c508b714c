// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Waiting;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

@Timeout(60)
class RangeLockTest {
    private static final long PAGE = 4096;

    private static GpaRange pages(long first, long count) {
        return GpaRange.of(first * PAGE, count * PAGE);
    }

    /** Runs on a thread of its own, and returns once that thread waits for the lock. */
    private static Thread waits(RangeLock lock, CountDownLatch queued, GpaRange range, Runnable whenHeld)
            throws InterruptedException {
        Thread thread = Thread.ofPlatform().daemon().start(() -> {
            try (RangeLock.Held _ = lock.lock(range)) {
                whenHeld.run();
            }
        });
        queued.await();
        return thread;
    }

    @Test
    void disjointRangesAreHeldAtOnce() {
        RangeLock lock = new RangeLock(condition -> {
            throw new AssertionError("nobody has to wait");
        });
        RangeLock.Held first = lock.lock(pages(0, 4));
        RangeLock.Held second = lock.lock(pages(4, 4));
        RangeLock.Held third = lock.lock(pages(8, 1));
        second.close();
        lock.lock(pages(5, 2)).close();
        first.close();
        third.close();
        lock.lock(RangeLock.ALL).close();
        assertThrows(IllegalStateException.class, first::close);
    }

    /** The first comes first, also where a later one could go at once. */
    @Test
    void overlappingRangesFollowInOrder() throws Exception {
        CountDownLatch[] queued = {new CountDownLatch(1), new CountDownLatch(1), new CountDownLatch(1)};
        AtomicInteger waiters = new AtomicInteger();
        RangeLock lock = new RangeLock(condition -> {
            queued[waiters.getAndIncrement()].countDown();
            Waiting.PARK.until(condition);
        });
        List<String> order = Collections.synchronizedList(new ArrayList<>());
        RangeLock.Held held = lock.lock(pages(0, 1));
        Thread all = waits(lock, queued[0], RangeLock.ALL, () -> order.add("all"));
        // Disjoint from what is held, but it must not overtake the one that wants everything.
        Thread far = waits(lock, queued[1], pages(5000, 1), () -> order.add("far"));
        Thread wide = waits(lock, queued[2], pages(50, 5000), () -> order.add("wide"));
        assertEquals(List.of(), order);
        held.close();
        all.join();
        far.join();
        wide.join();
        assertEquals(List.of("all", "far", "wide"), order);
    }

    @Test
    void anInterruptIsKeptAndDoesNotLetAnybodyIn() throws Exception {
        CountDownLatch queued = new CountDownLatch(1);
        RangeLock lock = new RangeLock(condition -> {
            queued.countDown();
            Waiting.PARK.until(condition);
        });
        RangeLock.Held held = lock.lock(pages(0, 1));
        List<Boolean> seen = Collections.synchronizedList(new ArrayList<>());
        Thread waiter = waits(
                lock, queued, pages(0, 2), () -> seen.add(Thread.currentThread().isInterrupted()));
        waiter.interrupt();
        assertEquals(List.of(), seen);
        held.close();
        waiter.join();
        assertEquals(List.of(true), seen);
    }

    /** No page has two holders, and everybody gets through; with pages that share a queue, and with such that do not. */
    @ParameterizedTest
    @CsvSource({"1, 4096", "2, 4096", "3, 1048576", "4, 2097152", "5, 134217728"})
    void nobodyMeetsAnother(long seed, long pageBytes) throws Exception {
        int pages = 16;
        int threads = 4;
        RangeLock lock = new RangeLock(Waiting.PARK);
        AtomicIntegerArray holders = new AtomicIntegerArray(pages);
        List<Callable<Boolean>> work = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            Random random = new Random(seed * threads + thread);
            work.add(() -> {
                boolean alone = true;
                for (int step = 0; step < 2000; step++) {
                    int from = random.nextInt(pages);
                    int count = 1 + random.nextInt(Math.min(4, pages - from));
                    try (RangeLock.Held _ = lock.lock(
                            step % 100 == 0 ? RangeLock.ALL : GpaRange.of(from * pageBytes, count * pageBytes))) {
                        for (int page = from; page < from + count; page++) {
                            alone &= holders.incrementAndGet(page) == 1;
                        }
                        for (int page = from; page < from + count; page++) {
                            alone &= holders.decrementAndGet(page) == 0;
                        }
                    }
                }
                return alone;
            });
        }
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (Future<Boolean> alone : pool.invokeAll(work)) {
                assertTrue(alone.get(), "seed " + seed);
            }
        }
    }
}
