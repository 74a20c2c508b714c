// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;

/** What the mapping of guest memory for devices has cost so far. Thread safe. */
public final class MapCounters {
    private final @Nullable MapCounters total;
    private final LongAdder mapIoctls = new LongAdder();
    private final LongAdder unmapIoctls = new LongAdder();
    private final LongAdder mappedBytes = new LongAdder();

    /** Counters of a mapper. */
    MapCounters() {
        this.total = null;
    }

    /**
     * Counters of one change.
     *
     * @param total gets the same
     */
    MapCounters(MapCounters total) {
        this.total = total;
    }

    /** ioctls that mapped something, also those that the kernel refused. */
    public long mapIoctls() {
        return mapIoctls.sum();
    }

    /** ioctls that unmapped something, also those that the kernel refused. */
    public long unmapIoctls() {
        return unmapIoctls.sum();
    }

    /** Bytes that are mapped now. */
    public long mappedBytes() {
        return mappedBytes.sum();
    }

    void mapIoctl() {
        mapIoctls.increment();
        if (total != null) {
            total.mapIoctl();
        }
    }

    void unmapIoctl() {
        unmapIoctls.increment();
        if (total != null) {
            total.unmapIoctl();
        }
    }

    void mapped(long bytes) {
        mappedBytes.add(bytes);
    }
}
