// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * Many readers or one writer, for what is nearly never written, as Linux's percpu_rw_semaphore: readers write to no common
 * cache line, and a writer pays for that, as it has to look at every reader's place.
 *
 * <p>A writer goes first: a thread that reads must not begin to read again, or it waits for itself once a writer is there.
 * The writer may lock again what it has, for writing or reading.
 */
public final class PercpuRwSemaphore implements ReadWriteLock {
    private final PercpuCount readers = new PercpuCount();
    /** Held by the writer. */
    private final Mutex writers = new Mutex();
    /** Who writes, or waits for the readers to leave. Written under {@link #writers}. */
    private volatile @Nullable Thread writer;

    private final Lock readLock = new Reader();
    private final Lock writeLock = new Writer();

    @Override
    public Lock readLock() {
        return readLock;
    }

    @Override
    public Lock writeLock() {
        return writeLock;
    }

    /** What this lock's two sides cannot do, as nobody needs it. */
    private abstract static class Side implements Lock {
        @Override
        public void lockInterruptibly() {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean tryLock() {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean tryLock(long time, TimeUnit unit) {
            throw new UnsupportedOperationException();
        }

        @Override
        public Condition newCondition() {
            throw new UnsupportedOperationException();
        }
    }

    private final class Reader extends Side {
        @Override
        @SuppressWarnings("LockNotBeforeTry") // it is only waited for
        public void lock() {
            while (true) {
                // The count before the look, and the writer's the other way round: one of the two sees the other.
                readers.increment();
                Thread other = writer;
                if (other == null || other == Thread.currentThread()) {
                    return;
                }
                unlock();
                writers.lock();
                writers.unlock();
            }
        }

        @Override
        public void unlock() {
            readers.decrement();
            Thread waiting = writer;
            if (waiting != null && waiting != Thread.currentThread()) {
                LockSupport.unpark(waiting);
            }
        }
    }

    private final class Writer extends Side {
        @Override
        public void lock() {
            writers.lock();
            if (writer != null) {
                return;
            }
            writer = Thread.currentThread();
            boolean interrupted = false;
            for (int look = 0; readers.sum() != 0; look++) {
                if (look < Spin.LOOKS) {
                    Spin.pause(look);
                } else {
                    LockSupport.park(this);
                    interrupted |= Thread.interrupted();
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void unlock() {
            if (writers.getHoldCount() == 1) {
                writer = null;
            }
            writers.unlock();
        }
    }
}
