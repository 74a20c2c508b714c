// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.Gpa;
import dev.alcove.discard.GpaRange;
import java.util.ArrayList;
import java.util.List;

/**
 * Excludes overlapping ranges from each other: a holder waits until nobody holds a range that overlaps its own. A
 * thread may hold one range only. Waiting cannot be interrupted, because a conversion must not stop half way.
 */
final class RangeLock {
    /** Everything that a guest physical address can name. */
    static final GpaRange ALL = GpaRange.of(0, Gpa.MAX + 1);

    /** A range that is held. */
    interface Held extends AutoCloseable {
        @Override
        void close();
    }

    /** Protected by the monitor. As short as there are vCPUs. */
    private final List<GpaRange> held = new ArrayList<>();

    synchronized Held lock(GpaRange range) {
        boolean interrupted = false;
        while (isHeld(range)) {
            try {
                wait();
            } catch (InterruptedException _) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        held.add(range);
        return () -> unlock(range);
    }

    private boolean isHeld(GpaRange range) {
        for (GpaRange other : held) {
            if (other.overlaps(range)) {
                return true;
            }
        }
        return false;
    }

    private synchronized void unlock(GpaRange range) {
        held.remove(range);
        notifyAll();
    }
}
