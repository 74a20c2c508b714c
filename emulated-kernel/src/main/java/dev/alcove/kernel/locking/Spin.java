// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

/** How a waiter looks for a lock before it sleeps. */
final class Spin {
    /** Some tens of microseconds: a thread that sleeps and is woken up costs the holder, and itself, as much. */
    static final int LOOKS = 1000;

    /** Every so often the holder, or who waits for a processor, gets this one. */
    private static final int YIELD = 128;

    private Spin() {}

    @SuppressWarnings("ThreadPriorityCheck") // nothing is right or wrong by it
    static void pause(int look) {
        if (look % YIELD == YIELD - 1) {
            Thread.yield();
        } else {
            Thread.onSpinWait();
        }
    }
}
