// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * A lock over unsigned 64-bit numbers, such as addresses, for work on a few that are close together. Who works in one
 * region holds that region's lock only; who works in several holds everything. So threads that work far from each other
 * do not wait, and write to no common cache line; work on everything pays for that, as it has to wait for each thread's
 * place (see {@link PercpuRwSemaphore}).
 *
 * <p>Regions of a power of two share {@value #LOCKS} locks in turn. Each hold is exclusive or shared. A thread has at most
 * one hold, but that who holds everything may hold it once more.
 */
public final class RegionLock {
    /** A power of two. */
    public static final int LOCKS = 64;

    /** The hold of everything. */
    private static final int ALL = -1;

    private final int shift;
    private final PercpuRwSemaphore everything = new PercpuRwSemaphore();
    /** Each made when it is first needed. */
    private final AtomicReferenceArray<LineLock> regions = new AtomicReferenceArray<>(LOCKS);

    /** @param shift the binary logarithm of a region's size */
    public RegionLock(int shift) {
        this.shift = shift;
    }

    /** Whether a range is in one region. */
    public boolean inOne(long first, long last) {
        return (first ^ last) >>> shift == 0;
    }

    /** The last number of a number's region. */
    public long lastOfRegion(long number) {
        return number | (1L << shift) - 1;
    }

    /** The number of the lock of a number's region, below {@link #LOCKS}. */
    public int of(long number) {
        return (int) (number >>> shift) & LOCKS - 1;
    }

    /** Whether a hold is of everything. */
    public static boolean isAll(int hold) {
        return hold == ALL;
    }

    /**
     * Holds a range for itself.
     *
     * @return the hold, for {@link #unlock}
     */
    public int lock(long first, long last) {
        if (!inOne(first, last)) {
            return lockAll();
        }
        int region = of(first);
        // Made before anything is held: without memory for it nothing is.
        LineLock mine = region(region);
        everything.readLock().lock();
        mine.lock();
        return region;
    }

    /** Holds everything for itself. */
    public int lockAll() {
        everything.writeLock().lock();
        return ALL;
    }

    /** Ends a hold of {@link #lockAll}. */
    public void unlockAll() {
        unlock(ALL);
    }

    /** Ends a hold of {@link #lock} or {@link #lockAll}. */
    public void unlock(int hold) {
        if (hold == ALL) {
            everything.writeLock().unlock();
        } else {
            region(hold).unlock();
            everything.readLock().unlock();
        }
    }

    /**
     * Holds a range together with others who share it.
     *
     * @return the hold, for {@link #unlockShared}
     */
    public int lockShared(long first, long last) {
        if (!inOne(first, last)) {
            return lockAllShared();
        }
        int region = of(first);
        LineLock mine = region(region);
        everything.readLock().lock();
        mine.lockShared();
        return region;
    }

    /** Holds everything together with others who share it. */
    public int lockAllShared() {
        for (int region = 0; region < LOCKS; region++) {
            region(region);
        }
        everything.readLock().lock();
        for (int region = 0; region < LOCKS; region++) {
            region(region).lockShared();
        }
        return ALL;
    }

    /** Ends a hold of {@link #lockShared} or {@link #lockAllShared}. */
    public void unlockShared(int hold) {
        if (hold != ALL) {
            region(hold).unlockShared();
        }
        for (int region = LOCKS - 1; hold == ALL && region >= 0; region--) {
            region(region).unlockShared();
        }
        everything.readLock().unlock();
    }

    private LineLock region(int number) {
        LineLock region = regions.get(number);
        if (region != null) {
            return region;
        }
        regions.compareAndSet(number, null, new LineLock());
        return regions.get(number);
    }
}
