// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import org.jspecify.annotations.Nullable;

/**
 * The queues of a controller by their number; 0 are those of the admin commands. Only the engine changes which there are,
 * and it does so under the controller's lock, which readers of other threads hold.
 */
final class NvmeQueues {
    private final @Nullable SubmissionQueue[] submission = new @Nullable SubmissionQueue[NvmeRegisters.IO_QUEUES + 1];
    private final @Nullable CompletionQueue[] completion = new @Nullable CompletionQueue[NvmeRegisters.IO_QUEUES + 1];
    private boolean created;

    @Nullable SubmissionQueue submission(int id) {
        return id < submission.length ? submission[id] : null;
    }

    @Nullable CompletionQueue completion(int id) {
        return id < completion.length ? completion[id] : null;
    }

    /** Whether an I/O queue has been created since the last {@link #clear}. */
    boolean created() {
        return created;
    }

    void add(CompletionQueue queue) {
        completion[queue.id] = queue;
        created |= queue.id != 0;
    }

    void add(SubmissionQueue queue) {
        submission[queue.id] = queue;
        queue.completions.users++;
    }

    /** Completions that have no entry in memory yet are lost with their queue. */
    void remove(SubmissionQueue queue) {
        submission[queue.id] = null;
        queue.completions.users--;
        queue.completions.waiting.removeIf(waiting -> waiting.queue() == queue);
    }

    void remove(CompletionQueue queue) {
        completion[queue.id] = null;
    }

    void clear() {
        for (int id = 0; id < submission.length; id++) {
            submission[id] = null;
            completion[id] = null;
        }
        created = false;
    }

    /** A queue with a command to fetch, the first behind a number. */
    @Nullable SubmissionQueue nextReady(int behind) {
        for (int i = 1; i <= submission.length; i++) {
            SubmissionQueue queue = submission[(behind + i) % submission.length];
            if (queue != null && queue.ready()) {
                return queue;
            }
        }
        return null;
    }

    /** A queue with room for completions that wait. */
    @Nullable CompletionQueue nextWaiting() {
        for (CompletionQueue queue : completion) {
            if (queue != null && queue.ready()) {
                return queue;
            }
        }
        return null;
    }

    /** Interrupt vectors, one bit each, of queues whose entries the host has not all taken. */
    int pendingVectors() {
        int vectors = 0;
        for (CompletionQueue queue : completion) {
            if (queue != null && queue.interrupts && queue.pending()) {
                vectors |= 1 << queue.vector;
            }
        }
        return vectors;
    }
}
