// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class RegionLockTest {
    private static final int SHIFT = 24;
    private static final long REGION = 1L << SHIFT;
    private static final int REGIONS = 3;

    private final RegionLock lock = new RegionLock(SHIFT);

    @Test
    void aRangeIsInOneRegionOrNot() {
        assertTrue(lock.inOne(REGION, 2 * REGION - 1));
        assertFalse(lock.inOne(REGION - 1, REGION));
        assertTrue(lock.inOne(-REGION, -1));
        assertEquals(2 * REGION - 1, lock.lastOfRegion(REGION + 5));
        assertEquals(lock.of(0), lock.of(RegionLock.LOCKS * REGION));
    }

    /** Both are inside at the same time, or the barrier breaks. */
    @Test
    void regionsDoNotWaitForEachOtherNorDoThoseWhoShare() throws InterruptedException {
        together(() -> lock.lock(0, 10), lock::unlock, () -> lock.lock(REGION, REGION), lock::unlock);
        together(() -> lock.lockShared(0, 10), lock::unlockShared, lock::lockAllShared, lock::unlockShared);
        together(lock::lockAllShared, lock::unlockShared, lock::lockAllShared, lock::unlockShared);
    }

    private interface Enter {
        int hold();
    }

    private interface Leave {
        void hold(int hold);
    }

    private static void together(Enter enter, Leave leave, Enter otherEnter, Leave otherLeave)
            throws InterruptedException {
        CyclicBarrier inside = new CyclicBarrier(2);
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        Thread other = start(failures, () -> meet(otherEnter, otherLeave, inside));
        Thread one = start(failures, () -> meet(enter, leave, inside));
        one.join();
        other.join();
        assertEquals(List.of(), List.copyOf(failures));
    }

    private static void meet(Enter enter, Leave leave, CyclicBarrier inside) {
        int hold = enter.hold();
        try {
            inside.await(1, TimeUnit.MINUTES);
        } catch (Exception e) {
            throw new AssertionError("the other one does not come in", e);
        } finally {
            leave.hold(hold);
        }
    }

    private static Thread start(ConcurrentLinkedQueue<Throwable> failures, Runnable work) {
        return Thread.ofPlatform()
                .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
                .start(work);
    }

    /** Counts that are not atomic, one for each region: who holds something for himself changes what he holds. */
    @Test
    void nobodyChangesWhatAnotherHolds() throws InterruptedException {
        long seed = System.nanoTime();
        long[] counts = new long[REGIONS * 16];
        long[] expected = new long[REGIONS];
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        List<Thread> threads = new ArrayList<>();
        for (int worker = 0; worker < 4; worker++) {
            Random random = new Random(seed + worker);
            threads.add(start(failures, () -> {
                long[] mine = new long[REGIONS];
                for (int step = 0; step < 20_000; step++) {
                    step(random, counts, mine);
                }
                synchronized (expected) {
                    for (int i = 0; i < REGIONS; i++) {
                        expected[i] += mine[i];
                    }
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(List.of(), List.copyOf(failures), "seed " + seed);
        for (int i = 0; i < REGIONS; i++) {
            assertEquals(expected[i], counts[i * 16], "seed " + seed + " region " + i);
        }
    }

    private void step(Random random, long[] counts, long[] mine) {
        int region = random.nextInt(REGIONS);
        long first = region * REGION;
        switch (random.nextInt(20)) {
            case 0 -> {
                int hold = lock.lockAll();
                for (int i = 0; i < REGIONS; i++) {
                    counts[i * 16]++;
                    mine[i]++;
                }
                lock.unlock(hold);
            }
            case 1 -> {
                int hold = lock.lock(first, first + REGION);
                assertTrue(RegionLock.isAll(hold));
                counts[region * 16]++;
                mine[region]++;
                lock.unlock(hold);
            }
            case 2, 3 -> {
                int hold = random.nextBoolean() ? lock.lockAllShared() : lock.lockShared(first, first);
                long before = counts[region * 16];
                Thread.onSpinWait();
                assertEquals(before, counts[region * 16]);
                lock.unlockShared(hold);
            }
            default -> {
                int hold = lock.lock(first, first + 4095);
                counts[region * 16]++;
                mine[region]++;
                lock.unlock(hold);
            }
        }
    }
}
