// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** Locks of readers and writers keep writers alone, and let nobody wait for ever. */
class PercpuRwSemaphoreTest {
    private static final int THREADS = 4;
    private static final int TURNS = 50_000;

    /** Guarded by the lock under test: two words that a writer changes one after the other. */
    private long first;

    private long second;

    static Stream<Supplier<ReadWriteLock>> locks() {
        return Stream.of(PercpuRwSemaphore::new, RwSemaphore::new);
    }

    @ParameterizedTest
    @MethodSource("locks")
    void writersAreAlone(Supplier<ReadWriteLock> kind) throws ExecutionException, InterruptedException {
        ReadWriteLock lock = kind.get();
        long writes = 0;
        try (ExecutorService threads = Executors.newFixedThreadPool(THREADS)) {
            List<Future<Long>> all = new ArrayList<>();
            for (int seed = 0; seed < THREADS; seed++) {
                Random random = new Random(seed);
                all.add(threads.submit(() -> turns(lock, random)));
            }
            for (Future<Long> one : all) {
                writes += one.get();
            }
        }
        assertEquals(writes, first);
        assertEquals(writes, second);
    }

    private long turns(ReadWriteLock lock, Random random) {
        long writes = 0;
        for (int i = 0; i < TURNS; i++) {
            boolean write = random.nextInt(16) == 0;
            Lock side = write ? lock.writeLock() : lock.readLock();
            side.lock();
            try {
                assertEquals(first, second);
                if (write) {
                    first++;
                    readAgain(lock);
                    second++;
                    writes++;
                }
            } finally {
                side.unlock();
            }
        }
        return writes;
    }

    /** A writer may lock again what it has. */
    private void readAgain(ReadWriteLock lock) {
        lock.readLock().lock();
        lock.writeLock().lock();
        try {
            assertEquals(first, second + 1);
        } finally {
            lock.writeLock().unlock();
            lock.readLock().unlock();
        }
    }
}
