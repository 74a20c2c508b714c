// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.ArrayDeque;
import java.util.List;

/** The fault recording registers: the newest faults, and how many there were. Thread safe. */
public final class FaultLog {
    /** Faults that are kept; older ones are only counted. */
    public static final int CAPACITY = 256;

    private final ArrayDeque<IommuFault> newest = new ArrayDeque<>();
    private long count;

    /** Faults since the machine started. */
    public synchronized long count() {
        return count;
    }

    /** Whether there were more faults than are kept. */
    public synchronized boolean overflowed() {
        return count > newest.size();
    }

    /** The newest faults, oldest first. */
    public synchronized List<IommuFault> newest() {
        return List.copyOf(newest);
    }

    synchronized void record(int requesterId, long iova, boolean write, IommuFault.Reason reason) {
        if (newest.size() == CAPACITY) {
            newest.removeFirst();
        }
        newest.addLast(new IommuFault(count++, requesterId, iova, write, reason));
    }
}
