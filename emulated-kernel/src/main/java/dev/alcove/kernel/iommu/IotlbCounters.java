// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.concurrent.atomic.LongAdder;

/** What the IOTLBs of all devices did. Thread safe. */
public final class IotlbCounters {
    private final LongAdder hits = new LongAdder();
    private final LongAdder misses = new LongAdder();
    private final LongAdder invalidations = new LongAdder();
    private final LongAdder stale = new LongAdder();

    /** Translations that were cached. */
    public long hits() {
        return hits.sum();
    }

    /** Translations that were looked for in a page table. */
    public long misses() {
        return misses.sum();
    }

    /** Commands that software gave, of whatever extent, to one device each. */
    public long invalidations() {
        return invalidations.sum();
    }

    /** Translations that were cached and that the page table did not have any more: a flush was forgotten. */
    public long stale() {
        return stale.sum();
    }

    void hit(boolean fresh) {
        hits.increment();
        if (!fresh) {
            stale.increment();
        }
    }

    void miss() {
        misses.increment();
    }

    void invalidation() {
        invalidations.increment();
    }
}
