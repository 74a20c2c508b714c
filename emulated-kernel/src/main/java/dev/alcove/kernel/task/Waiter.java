// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.sys.Errno;
import java.util.concurrent.locks.LockSupport;

/**
 * A thread that waits inside a system call for files to change. Used so: make one, look whether there is something
 * to do, {@link #await}, look again. A change after it was made is never missed.
 */
public final class Waiter implements Runnable, AutoCloseable {
    private final Thread thread = Thread.currentThread();
    private final Signals signals;
    private final OpenFile[] files;
    private volatile boolean woken;

    /** @param files what wakes the thread, besides a signal; each may be there more than once */
    public Waiter(Task task, OpenFile... files) {
        this.signals = task.signals();
        this.files = files;
        signals.onArrival(this);
        for (OpenFile file : files) {
            file.listen(this);
        }
    }

    /** Wakes the thread. */
    @Override
    public void run() {
        woken = true;
        LockSupport.unpark(thread);
    }

    /** Waits without a time limit; 0 or {@code -EINTR}. */
    public int await() {
        return await(0, Long.MAX_VALUE);
    }

    /**
     * Waits until a file has changed since the last call.
     *
     * @param start {@link System#nanoTime} when the system call began
     * @param timeout nanoseconds from there on; {@link Long#MAX_VALUE} for no limit
     * @return 0, {@code -EINTR} when a signal that is not blocked is pending, or {@code -ETIMEDOUT}
     */
    public int await(long start, long timeout) {
        while (!woken) {
            if ((signals.pending() & ~signals.blocked()) != 0 || thread.isInterrupted()) {
                return -Errno.EINTR;
            }
            if (timeout == Long.MAX_VALUE) {
                LockSupport.park(this);
            } else {
                long left = timeout - (System.nanoTime() - start);
                if (left <= 0) {
                    return -Errno.ETIMEDOUT;
                }
                LockSupport.parkNanos(this, left);
            }
        }
        woken = false;
        return 0;
    }

    @Override
    public void close() {
        signals.onArrival(null);
        for (OpenFile file : files) {
            file.unlisten(this);
        }
    }
}
