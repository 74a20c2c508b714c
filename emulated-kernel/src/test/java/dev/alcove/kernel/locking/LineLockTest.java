// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class LineLockTest {
    private final LineLock lock = new LineLock();

    /** Guarded by the lock: a writer changes one after the other. */
    private long first;

    private long second;

    /** More threads than processors, and turns long enough for some to sleep. */
    @Test
    void writersAreAloneAndEverybodyComesToAnEnd() throws InterruptedException {
        long seed = System.nanoTime();
        long[] writes = new long[6 * 16];
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        List<Thread> threads = new ArrayList<>();
        for (int worker = 0; worker < 6; worker++) {
            Random random = new Random(seed + worker);
            int mine = worker * 16;
            threads.add(start(failures, () -> {
                for (int turn = 0; turn < 4000; turn++) {
                    writes[mine] += random.nextInt(3) == 0 ? write(random) : read(random);
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(List.of(), List.copyOf(failures), "seed " + seed);
        long sum = 0;
        for (long count : writes) {
            sum += count;
        }
        assertEquals(sum, first, "seed " + seed);
        assertEquals(sum, second, "seed " + seed);
    }

    private long write(Random random) {
        int again = random.nextInt(3);
        for (int i = 0; i <= again; i++) {
            lock.lock();
        }
        assertEquals(first, second);
        first++;
        pass(random);
        second++;
        for (int i = 0; i <= again; i++) {
            lock.unlock();
        }
        return 1;
    }

    private long read(Random random) {
        lock.lockShared();
        long seen = first;
        pass(random);
        assertEquals(seen, second);
        lock.unlockShared();
        return 0;
    }

    @SuppressWarnings("ThreadPriorityCheck") // somebody else is to run meanwhile
    private static void pass(Random random) {
        if (random.nextInt(50) == 0) {
            Thread.yield();
        }
    }

    /** The writer that sleeps gets it from a reader, and an interrupt is neither lost nor does it end the wait. */
    @Test
    void whoSleepsIsWokenAndKeepsAnInterrupt() throws InterruptedException {
        for (boolean write : new boolean[] {true, false}) {
            ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
            if (write) {
                lock.lockShared();
            } else {
                lock.lock();
            }
            Thread waiter = start(failures, () -> {
                if (write) {
                    lock.lock();
                    lock.unlock();
                } else {
                    lock.lockShared();
                    lock.unlockShared();
                }
                assertTrue(Thread.interrupted());
            });
            waiter.interrupt();
            while (waiter.getState() != Thread.State.WAITING) {
                Thread.onSpinWait();
            }
            if (write) {
                lock.unlockShared();
            } else {
                lock.unlock();
            }
            waiter.join();
            assertEquals(List.of(), List.copyOf(failures));
        }
    }

    @Test
    void whoDoesNotHaveItCannotGiveItBack() throws InterruptedException {
        assertThrows(IllegalMonitorStateException.class, lock::unlock);
        assertThrows(IllegalMonitorStateException.class, lock::unlockShared);
        lock.lock();
        assertThrows(IllegalMonitorStateException.class, lock::unlockShared);
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        start(failures, () -> assertThrows(IllegalMonitorStateException.class, lock::unlock)).join();
        assertEquals(List.of(), List.copyOf(failures));
        lock.unlock();
    }

    private static Thread start(ConcurrentLinkedQueue<Throwable> failures, Runnable work) {
        return Thread.ofPlatform()
                .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
                .start(work);
    }
}
