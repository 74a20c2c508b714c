// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import org.jspecify.annotations.Nullable;

/** The signals of one thread, numbers 1 to 64; bit n-1 of a mask is signal n. All methods are thread safe. */
public interface Signals {
    /** Makes a signal pending and wakes whoever waits in {@link #await} or was registered by {@link #onArrival}. */
    void send(int signal);

    /** The pending signals, blocked or not. */
    long pending();

    /** The blocked signals. */
    long blocked();

    /** Replaces the blocked signals; answers the old mask. */
    long setBlocked(long mask);

    /**
     * Takes one pending signal of {@code set} away and answers it; waits up to the time; 0 when none came,
     * {@code -EINTR} when another one that is not blocked did.
     */
    int await(long set, long timeoutNanos);

    /**
     * Sets what is called, on the sender's thread, whenever a signal arrives: how a thread that is inside KVM_RUN
     * gets told. Null removes it.
     */
    void onArrival(@Nullable Runnable listener);
}
