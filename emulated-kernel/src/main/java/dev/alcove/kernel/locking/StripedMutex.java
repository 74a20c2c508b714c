// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

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

    private final LineLock[] stripes = new LineLock[1 << SHIFT];

    /** Nobody has it. */
    public StripedMutex() {
        for (int i = 0; i < stripes.length; i++) {
            stripes[i] = new LineLock();
        }
    }

    /** The stripe of a region. */
    public LineLock stripe(long region) {
        return stripes[(int) ((region * MIX) >>> (Long.SIZE - SHIFT))];
    }

    /** Takes all stripes. */
    public void lock() {
        for (int i = 0; i < stripes.length; i++) {
            stripes[i].lock();
        }
    }

    /** Gives all stripes back. */
    public void unlock() {
        for (int i = stripes.length - 1; i >= 0; i--) {
            stripes[i].unlock();
        }
    }
}
