// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The signals of one thread of an emulated process. No handler ever runs: a signal that is not blocked interrupts the
 * call that the thread waits in and stays pending. Real-time signals queue, the others do not.
 *
 * <p>Guarded by its monitor; the listener runs without it.
 */
final class ThreadSignals implements Signals {
    private static final int FIRST_QUEUED = 32;
    private static final long UNBLOCKABLE = 1L << 8 | 1L << 18;

    private final int[] queued = new int[65];
    private volatile long pending;
    private volatile long blocked;
    private volatile @Nullable Runnable listener;

    @Override
    public void send(int signal) {
        synchronized (this) {
            queued[signal] = signal >= FIRST_QUEUED ? queued[signal] + 1 : 1;
            pending |= bit(signal);
            notifyAll();
        }
        Runnable told = listener;
        if (told != null) {
            told.run();
        }
    }

    private static long bit(int signal) {
        return 1L << (signal - 1);
    }

    @Override
    public long pending() {
        return pending;
    }

    @Override
    public long blocked() {
        return blocked;
    }

    @Override
    public synchronized long setBlocked(long mask) {
        long old = blocked;
        blocked = mask & ~UNBLOCKABLE;
        return old;
    }

    @Override
    public synchronized int await(long set, long timeoutNanos) {
        long start = System.nanoTime();
        while ((pending & set) == 0) {
            if ((pending & ~blocked) != 0) {
                return -Errno.EINTR;
            }
            long left = timeoutNanos - (System.nanoTime() - start);
            if (left <= 0) {
                return 0;
            }
            try {
                wait(left / 1_000_000, (int) (left % 1_000_000));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return -Errno.EINTR;
            }
        }
        int signal = Long.numberOfTrailingZeros(pending & set) + 1;
        if (--queued[signal] == 0) {
            pending &= ~bit(signal);
        }
        return signal;
    }

    @Override
    public void onArrival(@Nullable Runnable told) {
        listener = told;
    }
}
