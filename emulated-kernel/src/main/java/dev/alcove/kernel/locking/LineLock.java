// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;

/**
 * Many readers or one writer, with all that is written two cache lines away from any other object: for locks of which an
 * object has several, so that threads with different ones do not slow each other down. (The locks of java.util.concurrent
 * cannot be kept away from what lies before them, and the collector may put anything there, also what all threads read.)
 *
 * <p>Waiters look for it a while before they sleep, as those of Linux's rwsem do, and new readers wait behind who sleeps.
 * The writer may write again; nobody else may lock what he has.
 */
public final class LineLock {
    private static final VarHandle LONG = MethodHandles.arrayElementVarHandle(long[].class);

    /** Longs before and behind what is written. */
    private static final int LINES = 16;

    // What is where.
    /** Readers, and the two flags; 0 where nobody has the lock. */
    private static final int STATE = LINES;

    /** The writer's thread number, 0 for none; written by the writer. */
    private static final int OWNER = LINES + 1;

    /** How often the writer has locked it again; the writer's. */
    private static final int AGAIN = LINES + 2;

    private static final long WRITER = 1L << 62;

    /** Who gives the lock up has to wake the sleepers. Only set while somebody has the lock. */
    private static final long SLEEPERS = 1L << 63;

    private final long[] words = new long[LINES + 3 + LINES];
    private final ConcurrentLinkedQueue<Thread> sleepers = new ConcurrentLinkedQueue<>();

    /** Nobody has it. */
    public LineLock() {}

    /** Takes it alone. */
    public void lock() {
        long thread = Thread.currentThread().threadId();
        if ((long) LONG.getOpaque(words, OWNER) == thread) {
            words[AGAIN]++;
            return;
        }
        for (int look = 0; look < Spin.LOOKS; look++) {
            if (((long) LONG.getOpaque(words, STATE) == 0 || look == 0) && tryWrite()) {
                LONG.setOpaque(words, OWNER, thread);
                return;
            }
            Spin.pause(look);
        }
        sleepUntil(true);
        LONG.setOpaque(words, OWNER, thread);
    }

    /** Gives it back, or the last of several times that the writer has it. */
    public void unlock() {
        if ((long) LONG.getOpaque(words, OWNER) != Thread.currentThread().threadId()) {
            throw new IllegalMonitorStateException();
        }
        if (words[AGAIN] > 0) {
            words[AGAIN]--;
            return;
        }
        LONG.setOpaque(words, OWNER, 0L);
        if ((long) LONG.getAndSet(words, STATE, 0L) < 0) {
            sleepers.forEach(LockSupport::unpark);
        }
    }

    /** Takes it together with others who do. */
    public void lockShared() {
        for (int look = 0; look < Spin.LOOKS; look++) {
            if (tryRead()) {
                return;
            }
            Spin.pause(look);
        }
        sleepUntil(false);
    }

    /** Gives back what {@link #lockShared} has taken. */
    public void unlockShared() {
        while (true) {
            long state = (long) LONG.getVolatile(words, STATE);
            long readers = state & ~SLEEPERS;
            if (readers == 0 || readers == WRITER) {
                throw new IllegalMonitorStateException();
            }
            boolean last = readers == 1;
            if (LONG.compareAndSet(words, STATE, state, last ? 0L : state - 1)) {
                if (last && state < 0) {
                    sleepers.forEach(LockSupport::unpark);
                }
                return;
            }
        }
    }

    private boolean tryWrite() {
        return LONG.compareAndSet(words, STATE, 0L, WRITER);
    }

    /** Not where somebody sleeps: readers could keep a writer waiting for ever. */
    private boolean tryRead() {
        long state = (long) LONG.getVolatile(words, STATE);
        return state >= 0 && state != WRITER && LONG.compareAndSet(words, STATE, state, state + 1);
    }

    private void sleepUntil(boolean write) {
        Thread thread = Thread.currentThread();
        boolean interrupted = false;
        // In the list before the flag is set: who sees the flag finds the thread.
        sleepers.add(thread);
        while (!(write ? tryWrite() : tryRead())) {
            long state = (long) LONG.getVolatile(words, STATE);
            if (state == 0 || (state > 0 && !LONG.compareAndSet(words, STATE, state, state | SLEEPERS))) {
                continue;
            }
            LockSupport.park(this);
            interrupted |= Thread.interrupted();
        }
        sleepers.remove(thread);
        if (interrupted) {
            thread.interrupt();
        }
    }
}
