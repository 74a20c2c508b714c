// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

/** A submission queue. The controller's lock guards {@code tail} and {@code stalled}; all else is the engine's. */
final class SubmissionQueue {
    final int id;
    final long address;
    final int size;
    final CompletionQueue completions;
    int head;
    int tail;

    /** Commands without a completion in memory: the queue has room for as many as it has entries. */
    int outstanding;

    /** Whether its memory could not be read, since the last doorbell. */
    boolean stalled;

    /** @param size entries, 2 or more */
    SubmissionQueue(int id, long address, int size, CompletionQueue completions) {
        this.id = id;
        this.address = address;
        this.size = size;
        this.completions = completions;
    }

    /** Whether a command can be fetched. */
    boolean ready() {
        return head != tail && outstanding < size && !stalled;
    }

    /** Where the next command is; it counts as fetched with {@link #fetched}. */
    long next() {
        return address + (long) head * NvmeCommand.SIZE;
    }

    void fetched() {
        head = (head + 1) % size;
        outstanding++;
    }
}
