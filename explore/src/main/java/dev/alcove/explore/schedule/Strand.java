// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One thread of a run. All but {@code go} belongs to whoever has the baton; passing it on publishes the rest.
 *
 * <p>Where it stands is told by its operation and a count of steps since that began. A shorter version of the same
 * program passes through the same places.
 */
public final class Strand {
    /** Where a strand is that has ended. */
    private static final int END = Integer.MAX_VALUE;

    private final int index;
    private final String name;
    private @Nullable Thread thread;
    private volatile boolean go;
    private boolean done;
    private @Nullable BooleanSupplier waiting;
    private String waitingFor = "";
    private int operation = -1;
    private int count;
    @Nullable StringBuilder line;

    Strand(int index, String name) {
        this.index = index;
        this.name = name;
    }

    /** Its place among the strands of the run, from 0. */
    public int index() {
        return index;
    }

    public String name() {
        return name;
    }

    /** The number of the operation that it carries out, -1 before the first. */
    public int operation() {
        return operation;
    }

    /** Steps since the operation began. */
    public int count() {
        return count;
    }

    /** The strand begins an operation of its program; again the same one changes nothing. */
    public void begin(int number) {
        if (operation != number) {
            operation = number;
            count = 0;
        }
    }

    void stepped() {
        count++;
    }

    boolean done() {
        return done;
    }

    void end() {
        done = true;
        operation = END;
        count = 0;
    }

    void waitFor(BooleanSupplier condition, String what) {
        waiting = condition;
        waitingFor = what;
    }

    void waitsNoMore() {
        waiting = null;
    }

    String waitingFor() {
        return waitingFor;
    }

    /** Whether it could go on now. */
    boolean enabled() {
        BooleanSupplier condition = waiting;
        return !done && (condition == null || condition.getAsBoolean());
    }

    boolean isThis(Thread candidate) {
        return thread == candidate;
    }

    void bind(Thread own) {
        thread = own;
    }

    void start() {
        Thread own = thread;
        if (own != null && own.getState() == Thread.State.NEW) {
            own.start();
        }
    }

    @Nullable Thread thread() {
        return thread;
    }

    /** Gets the baton; from the strand that had it. */
    void pass() {
        go = true;
        LockSupport.unpark(thread);
    }

    /** The strand itself: waits for the baton. */
    void await() {
        boolean interrupted = false;
        while (!go) {
            LockSupport.park(this);
            interrupted |= Thread.interrupted();
        }
        go = false;
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
