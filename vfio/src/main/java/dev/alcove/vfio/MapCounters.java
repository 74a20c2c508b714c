// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.ThreadCounts;

/** What the mapping of guest memory for devices has cost so far. Thread safe; vCPUs write to no common cache line. */
public final class MapCounters {
    private static final int MAP_IOCTLS = 0;
    private static final int UNMAP_IOCTLS = 1;
    private static final int MAPPED_BYTES = 2;

    private final ThreadCounts counts = new ThreadCounts(MAPPED_BYTES + 1);

    /** Counters of a mapper. */
    MapCounters() {}

    /** ioctls that mapped something, also those that the kernel refused. */
    public long mapIoctls() {
        return counts.sum(MAP_IOCTLS);
    }

    /** ioctls that unmapped something, also those that the kernel refused. */
    public long unmapIoctls() {
        return counts.sum(UNMAP_IOCTLS);
    }

    /** Bytes that are mapped now. */
    public long mappedBytes() {
        return counts.sum(MAPPED_BYTES);
    }

    /** ioctls of the calling thread so far: a difference tells what something has cost. */
    long ownIoctls() {
        return counts.own(MAP_IOCTLS) + counts.own(UNMAP_IOCTLS);
    }

    void mapIoctl() {
        counts.add(MAP_IOCTLS, 1);
    }

    void unmapIoctl() {
        counts.add(UNMAP_IOCTLS, 1);
    }

    void mapped(long bytes) {
        counts.add(MAPPED_BYTES, bytes);
    }
}
