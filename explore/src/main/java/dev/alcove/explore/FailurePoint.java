// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.explore.schedule.Strand;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Counts what may fail, and makes one of it fail. Belongs to whoever has the baton. */
final class FailurePoint {
    private final Storm.@Nullable Fault wanted;
    private final Scheduler scheduler;
    /** By operation. */
    private final Map<Integer, Integer> counts = new HashMap<>();

    private boolean armed;
    private int count;
    private Storm.@Nullable Fault struck;

    FailurePoint(Storm.@Nullable Fault wanted, Scheduler scheduler) {
        this.wanted = wanted;
        this.scheduler = scheduler;
    }

    /** Counts from now on. */
    void arm() {
        armed = wanted != null;
    }

    /** Nothing fails any more. */
    void disarm() {
        armed = false;
    }

    /** Where the failure has happened, as counted in the operation; null when it has not. */
    Storm.@Nullable Fault struck() {
        return struck;
    }

    /** Whether this one fails. */
    boolean strikes(boolean inKernel, String what) {
        Storm.Fault fault = wanted;
        if (!armed || fault == null || struck != null || fault.inKernel() != inKernel) {
            return false;
        }
        Strand strand = scheduler.current();
        if (strand == null) {
            return false;
        }
        count++;
        int inOperation = counts.merge(strand.operation(), 1, Integer::sum);
        boolean hit = fault.operation() < 0
                ? count == fault.nth()
                : strand.operation() == fault.operation() && inOperation == fault.nth();
        if (hit) {
            struck = new Storm.Fault(inOperation, inKernel, strand.operation());
            scheduler.note(() -> inKernel ? "the kernel gets no memory for: " + what : "the next call fails: " + what);
        }
        return hit;
    }
}
