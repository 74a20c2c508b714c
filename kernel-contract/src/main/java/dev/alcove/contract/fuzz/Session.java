// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

/** The objects of one run on one kernel. One thread. */
public interface Session extends AutoCloseable {
    /**
     * Makes the call. Any subsequence of a sequence is a sequence: a symbol that refers to nothing (its creation failed,
     * or was left out) is performed with a bad descriptor or a bad address, never refused.
     */
    Answer perform(Op op);

    /** Closes and unmaps all that is left. */
    @Override
    void close();
}
