// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import java.util.concurrent.atomic.LongAdder;

/** What the mapping of guest memory for devices has cost so far. Thread safe. */
public final class MapCounters {
    private final LongAdder mapIoctls = new LongAdder();
    private final LongAdder unmapIoctls = new LongAdder();
    private final LongAdder mappedBytes = new LongAdder();

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
    }

    void unmapIoctl() {
        unmapIoctls.increment();
    }

    void mapped(long bytes) {
        mappedBytes.add(bytes);
    }
}
