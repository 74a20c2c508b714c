// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

final class StripedMutexTest {
    private static final int REGIONS = 40;

    private final StripedMutex mutex = new StripedMutex();

    @Test
    void neighboursAndRegionsInOtherGigabytesHaveOtherStripes() {
        for (int region = 0; region < 1000; region++) {
            assertSame(mutex.stripe(region), mutex.stripe(region));
            assertNotSame(mutex.stripe(region), mutex.stripe(region + 1));
            assertNotSame(mutex.stripe(region), mutex.stripe(region + 512));
        }
    }

    @Test
    void onlyWhoHasAStripeGivesItBack() {
        LineLock stripe = mutex.stripe(1);
        assertThrows(IllegalMonitorStateException.class, stripe::unlock);
        stripe.lock();
        stripe.lock();
        stripe.unlock();
        stripe.unlock();
        assertThrows(IllegalMonitorStateException.class, stripe::unlock);
        assertThrows(IllegalMonitorStateException.class, mutex::unlock);
    }

    /** Counts that are not atomic: those of regions under their stripes, and a sum under all of them. */
    @Test
    void stripesAndAllExcludeEachOther() throws InterruptedException {
        long[] counts = new long[REGIONS];
        long[] sum = new long[1];
        int rounds = 20_000;
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Random random = new Random(i);
            threads.add(Thread.ofPlatform().start(() -> {
                for (int round = 0; round < rounds; round++) {
                    int region = random.nextInt(REGIONS);
                    if (round % 16 == 0) {
                        mutex.lock();
                        mutex.stripe(region).lock();
                        for (long count : counts) {
                            sum[0] += count;
                        }
                        counts[region]++;
                        mutex.stripe(region).unlock();
                        mutex.unlock();
                    } else {
                        mutex.stripe(region).lock();
                        counts[region]++;
                        mutex.stripe(region).unlock();
                    }
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        long all = 0;
        for (long count : counts) {
            all += count;
        }
        assertEquals(3L * rounds, all);
    }
}
