// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.ArrayList;
import java.util.List;

/**
 * The translations a device has cached: 64 sets of four, one entry per page of 4 KiB, tagged with the domain, so that a
 * change of the domain needs no flush. An entry stays until software invalidates it or another takes its place, the
 * oldest of a set first: what an unmap forgets to invalidate goes on to be used. Lock: its monitor, a leaf.
 */
final class Iotlb {
    private static final int SETS = 64;
    private static final int WAYS = 4;
    private static final int ENTRIES = SETS * WAYS;

    private final int[] domains = new int[ENTRIES];
    private final long[] pages = new long[ENTRIES];
    private final long[] entries = new long[ENTRIES];
    private final byte[] oldest = new byte[SETS];

    /** The cached leaf entry of a page, 0 when there is none. */
    synchronized long lookup(int domain, long page) {
        int slot = slot(domain, page);
        return slot < 0 ? 0 : entries[slot];
    }

    private int slot(int domain, long page) {
        int first = ((int) page & (SETS - 1)) * WAYS;
        for (int slot = first; slot < first + WAYS; slot++) {
            if (domains[slot] == domain && pages[slot] == page) {
                return slot;
            }
        }
        return -1;
    }

    synchronized void insert(int domain, long page, long entry) {
        int set = (int) page & (SETS - 1);
        int slot = slot(domain, page);
        if (slot < 0) {
            slot = set * WAYS + oldest[set];
            oldest[set] = (byte) ((oldest[set] + 1) % WAYS);
        }
        domains[slot] = domain;
        pages[slot] = page;
        entries[slot] = entry;
    }

    /** The pages of a domain that are cached. */
    synchronized List<Long> pages(int domain) {
        List<Long> cached = new ArrayList<>();
        for (int slot = 0; slot < ENTRIES; slot++) {
            if (domains[slot] == domain) {
                cached.add(pages[slot]);
            }
        }
        return cached;
    }

    /**
     * Drops a domain's translations of pages [first, first + count). The caller holds them in the domain for itself.
     */
    void invalidate(int domain, long first, long count) {
        if (count > SETS || mayHave(domain, first, count)) {
            drop(domain, first, count);
        }
    }

    /**
     * Looks without the monitor, as most of what is unmapped is in no IOTLB: nobody adds translations of these
     * pages now, and those that there are were added by who had a hold of them before. Others may take their places meanwhile.
     */
    private boolean mayHave(int domain, long first, long count) {
        for (long page = first; page < first + count; page++) {
            if (slot(domain, page) >= 0) {
                return true;
            }
        }
        return false;
    }

    private synchronized void drop(int domain, long first, long count) {
        if (count <= SETS) {
            for (long page = first; page < first + count; page++) {
                int slot = slot(domain, page);
                if (slot >= 0) {
                    domains[slot] = 0;
                }
            }
            return;
        }
        for (int slot = 0; slot < ENTRIES; slot++) {
            if (domains[slot] == domain && pages[slot] >= first && pages[slot] - first < count) {
                domains[slot] = 0;
            }
        }
    }

    /** Drops all translations of a domain. */
    synchronized void invalidateDomain(int domain) {
        for (int slot = 0; slot < ENTRIES; slot++) {
            domains[slot] = domains[slot] == domain ? 0 : domains[slot];
        }
    }
}
