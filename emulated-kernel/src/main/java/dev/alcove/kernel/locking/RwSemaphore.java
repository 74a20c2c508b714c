// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.concurrent.locks.ReentrantReadWriteLock;

/** Many readers or one writer, whose waiters look for it a while before they sleep, as those of Linux's rwsem do. */
public final class RwSemaphore extends ReentrantReadWriteLock {
    private static final long serialVersionUID = 1;

    private final WriteLock writer = new Writer(this);
    private final ReadLock reader = new Reader(this);

    @Override
    public WriteLock writeLock() {
        return writer;
    }

    @Override
    public ReadLock readLock() {
        return reader;
    }

    private static final class Writer extends WriteLock {
        private static final long serialVersionUID = 1;

        private final ReentrantReadWriteLock lock;

        Writer(ReentrantReadWriteLock lock) {
            super(lock);
            this.lock = lock;
        }

        @Override
        public void lock() {
            for (int look = 0; look < Spin.LOOKS; look++) {
                if ((!lock.isWriteLocked() || look == 0) && tryLock()) {
                    return;
                }
                Spin.pause(look);
            }
            super.lock();
        }
    }

    private static final class Reader extends ReadLock {
        private static final long serialVersionUID = 1;

        private final ReentrantReadWriteLock lock;

        Reader(ReentrantReadWriteLock lock) {
            super(lock);
            this.lock = lock;
        }

        @Override
        public void lock() {
            for (int look = 0; look < Spin.LOOKS; look++) {
                // Who sleeps goes first, or readers could keep a writer waiting for ever.
                if (!lock.hasQueuedThreads() && tryLock()) {
                    return;
                }
                Spin.pause(look);
            }
            super.lock();
        }
    }
}
