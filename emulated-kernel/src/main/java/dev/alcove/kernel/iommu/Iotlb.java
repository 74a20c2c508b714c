// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.Arrays;

/**
 * The translations a device has cached: direct mapped, one entry per page, tagged with the domain, so that a change of
 * the domain needs no flush. Lock: its monitor, a leaf.
 */
final class Iotlb {
    private static final int ENTRIES = 64;

    private final int[] domains = new int[ENTRIES];
    private final long[] pages = new long[ENTRIES];
    private final long[] entries = new long[ENTRIES];

    /** The cached leaf entry of a page, 0 when there is none. */
    synchronized long lookup(int domain, long page) {
        int slot = (int) page & ENTRIES - 1;
        return domains[slot] == domain && pages[slot] == page ? entries[slot] : 0;
    }

    synchronized void insert(int domain, long page, long entry) {
        int slot = (int) page & ENTRIES - 1;
        domains[slot] = domain;
        pages[slot] = page;
        entries[slot] = entry;
    }

    /** Drops a domain's translations of pages [first, first + count). */
    synchronized void invalidate(int domain, long first, long count) {
        for (int slot = 0; slot < ENTRIES; slot++) {
            if (domains[slot] == domain && pages[slot] >= first && pages[slot] - first < count) {
                domains[slot] = 0;
            }
        }
    }

    synchronized void invalidateAll() {
        Arrays.fill(domains, 0);
    }
}
