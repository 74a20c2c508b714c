// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.concurrent.locks.AbstractQueuedSynchronizer;

/**
 * A mutex for an object of many regions: who works within one region takes its stripe, and who works on more, or on what
 * all regions have in common, takes all of them. So threads in different regions hardly ever wait for each other, nor
 * write to a common cache line.
 *
 * <p>A thread that has all stripes may take any, or all, again. One that has a single stripe may take that one again, and
 * nothing else: it could wait for somebody who has taken some of all and waits for this one.
 */
public final class StripedMutex {
    private static final int SHIFT = 4;

    /** Regions whose distance is a power of two, as those of threads that divide a range evenly, differ in the upper bits. */
    private static final long MIX = 0x9E3779B97F4A7C15L;

    /** The first is never taken: it keeps the others away from what lies before them. */
    private final Stripe[] stripes = new Stripe[(1 << SHIFT) + 1];

    /** Nobody has it. */
    public StripedMutex() {
        for (int i = 0; i < stripes.length; i++) {
            stripes[i] = new Stripe();
        }
    }

    /** The stripe of a region. */
    public Stripe stripe(long region) {
        return stripes[1 + (int) ((region * MIX) >>> (Long.SIZE - SHIFT))];
    }

    /** Takes all stripes. */
    public void lock() {
        for (int i = 1; i < stripes.length; i++) {
            stripes[i].lock();
        }
    }

    /** Gives all stripes back. */
    public void unlock() {
        for (int i = stripes.length - 1; i > 0; i--) {
            stripes[i].unlock();
        }
    }

    /** One stripe: a reentrant mutex, as {@link Mutex} with what is written two cache lines away from the next one's. */
    public static final class Stripe extends AbstractQueuedSynchronizer {
        private static final long serialVersionUID = 1;

        @SuppressWarnings("unused")
        private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15;

        private Stripe() {}

        /** Takes it. */
        public void lock() {
            for (int look = 0; look < Spin.LOOKS; look++) {
                if ((getState() == 0 || look == 0) && tryAcquire(1)) {
                    return;
                }
                Spin.pause(look);
            }
            acquire(1);
        }

        /** Gives it back. */
        public void unlock() {
            release(1);
        }

        @Override
        protected boolean tryAcquire(int count) {
            int held = getState();
            if (held == 0 && compareAndSetState(0, count)) {
                setExclusiveOwnerThread(Thread.currentThread());
                return true;
            }
            if (held != 0 && getExclusiveOwnerThread() == Thread.currentThread()) {
                setState(held + count);
                return true;
            }
            return false;
        }

        @Override
        protected boolean tryRelease(int count) {
            if (getExclusiveOwnerThread() != Thread.currentThread()) {
                throw new IllegalMonitorStateException();
            }
            int held = getState() - count;
            if (held == 0) {
                setExclusiveOwnerThread(null);
            }
            setState(held);
            return held == 0;
        }
    }
}
