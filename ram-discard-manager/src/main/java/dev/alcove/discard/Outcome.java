// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/** What became of a change that can be refused. */
public sealed interface Outcome {
    /** It is done. */
    record Done() implements Outcome {
        private static final Done ONE = new Done();
    }

    /**
     * It is refused, and everything is as it was before.
     *
     * @param errno a Linux error number, positive
     * @param reason for a person
     */
    record Refused(int errno, String reason) implements Outcome {}

    /**
     * It failed, and nobody knows any more how far devices, kernel and books agree. The VM must stop.
     *
     * @param reason for a person
     */
    record Unsafe(String reason) implements Outcome {}

    /** It is done. */
    static Outcome done() {
        return Done.ONE;
    }

    default boolean isDone() {
        return this instanceof Done;
    }
}
