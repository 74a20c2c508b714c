// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.util.ArrayDeque;

/** A completion queue. The controller's lock guards head, changes of the tail, and {@code stalled}; all else is the engine's. */
final class CompletionQueue {
    static final int ENTRY_SIZE = 16;

    /**
     * A command that is over and has no entry in memory yet.
     *
     * @param result the entry's first word
     * @param status see {@link NvmeStatus}
     */
    record Completion(SubmissionQueue queue, int command, int result, int status) {}

    final int id;
    final long address;
    final int size;
    final int vector;
    final boolean interrupts;
    final ArrayDeque<Completion> waiting = new ArrayDeque<>();
    int users;
    int head;
    int tail;
    private int phase = 1;

    /** Whether its memory could not be written, since the last doorbell. */
    boolean stalled;

    /** @param size entries, 2 or more */
    CompletionQueue(int id, long address, int size, int vector, boolean interrupts) {
        this.id = id;
        this.address = address;
        this.size = size;
        this.vector = vector;
        this.interrupts = interrupts;
    }

    /** Whether an entry can be written. */
    boolean ready() {
        return !waiting.isEmpty() && !full() && !stalled;
    }

    boolean full() {
        return (tail + 1) % size == head;
    }

    /** Whether the host has entries to take. */
    boolean pending() {
        return tail != head;
    }

    long next() {
        return address + (long) tail * ENTRY_SIZE;
    }

    int phase() {
        return phase;
    }

    void advance() {
        if (tail + 1 == size) {
            tail = 0;
            phase ^= 1;
        } else {
            tail++;
        }
    }
}
