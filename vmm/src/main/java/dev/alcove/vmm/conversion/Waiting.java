// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * How a thread of the conversion engine waits for another one. Every wait of the engine goes through here, so that a
 * scheduler of its own can step the threads instead of the operating system.
 *
 * <p>No lock, monitor or other resource of the engine is held while a thread waits; what it waits for is a range that
 * another thread holds, or one that another thread asked for first.
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
     * Returns once the condition holds, and never before. It cannot be interrupted: a conversion must not stop half
     * way.
     *
     * @param condition reads the lock's state and changes nothing, so that it may be asked at any time, by any thread,
     *     any number of times. Only another thread that gives back a range makes it true, and then it stays true. That
     *     thread unparks ({@link LockSupport#unpark}) the thread that waits after each such change; whoever asks the
     *     condition by himself needs no unpark
     */
    void until(BooleanSupplier condition);
}
