// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.fault;

import java.util.SplittableRandom;

/**
 * One kind of failure and when it happens ({@code struct fault_attr}): a folder fail* of debugfs. Its numbers are those
 * of the folder's files. All of it is guarded by the monitor.
 */
final class FaultAttribute {
    private static final int PERCENT = 100;

    private final String name;
    private final SplittableRandom random = new SplittableRandom(0);
    private long probability;
    private long interval = 1;
    private int times = 1;
    private int space;
    private boolean taskFilter;
    private long count;

    FaultAttribute(String name) {
        this.name = name;
    }

    String name() {
        return name;
    }

    synchronized long probability() {
        return probability;
    }

    synchronized void setProbability(long percent) {
        probability = percent;
    }

    synchronized long interval() {
        return interval;
    }

    synchronized void setInterval(long every) {
        interval = every;
    }

    synchronized int times() {
        return times;
    }

    /** How many failures are left; -1 for any number. */
    synchronized void setTimes(int left) {
        times = left;
    }

    synchronized int space() {
        return space;
    }

    synchronized void setSpace(int left) {
        space = left;
    }

    synchronized boolean taskFilter() {
        return taskFilter;
    }

    synchronized void setTaskFilter(boolean on) {
        taskFilter = on;
    }

    /** A failure that {@code fail-nth} has brought about counts here too. */
    synchronized void failed() {
        if (times > 0) {
            times--;
        }
    }

    /**
     * Whether the next attempt fails.
     *
     * @param marked whether the task has make-it-fail set
     * @param size what is taken off the space
     */
    synchronized boolean fails(boolean marked, int size) {
        if (probability == 0 || (taskFilter && !marked) || times == 0) {
            return false;
        }
        if (space > size) {
            space -= size;
            return false;
        }
        if (Long.compareUnsigned(interval, 1) > 0 && Long.remainderUnsigned(++count, interval) != 0) {
            return false;
        }
        if (Long.compareUnsigned(probability, random.nextInt(PERCENT)) <= 0) {
            return false;
        }
        failed();
        return true;
    }
}
