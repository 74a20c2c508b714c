// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * How a thread waits for another one: in the discard manager for changes that another one makes, in the conversion engine
 * for a range that another one converts. Every wait of theirs goes through here, so that a scheduler of its own can step
 * the threads instead of the operating system. No lock and no monitor is held while a thread waits.
 */
@FunctionalInterface
public interface Waiting {
    /** Lets the operating system do it: the thread parks, and whoever makes the condition true unparks it. */
    Waiting PARK = condition -> {
        boolean interrupted = false;
        while (!condition.getAsBoolean()) {
            LockSupport.park(condition);
            interrupted |= Thread.interrupted();
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    };

    /**
     * Returns once the condition holds, and never before. It cannot be interrupted: a change must not stop half way.
     *
     * @param condition reads the state waited for and changes nothing, so that it may be asked at any time, by any
     *     thread, any number of times. Only another thread makes it true, and then it stays true. That thread unparks ({@link LockSupport#unpark}) the thread that waits after each such change; whoever asks the
     *     condition by himself needs no unpark
     */
    void until(BooleanSupplier condition);
}
