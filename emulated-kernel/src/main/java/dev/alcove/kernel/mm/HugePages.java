// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The machine's pool of huge pages of 2 MiB (hugetlb). It counts: who maps or allocates one takes it from the pool, and
 * its frames are then any contiguous ones. None are surplus, and there is no pool of another size.
 *
 * <p>Guarded by the monitor, which is a leaf; page stores are looked at without it.
 */
public final class HugePages {
    /** Of one huge page: bytes, and frames. */
    public static final long BYTES = 2L << 20;

    static final long FRAMES = BYTES >> Linux.PAGE_SHIFT;

    private final Set<PageStore> stores = new HashSet<>();
    private long total;
    private long taken;

    HugePages() {}

    /** {@code nr_hugepages}: pages in the pool, taken ones among them. */
    public synchronized long total() {
        return total;
    }

    /** Makes the pool as large as asked for, or as large as what is taken of it. */
    public synchronized void resize(long pages) {
        total = Math.max(pages, taken);
    }

    /** Pages that nobody uses, promised ones among them ({@code HugePages_Free}). */
    public long free() {
        long used = used();
        synchronized (this) {
            return Math.max(0, total - used);
        }
    }

    /** Pages that are promised and not used yet ({@code HugePages_Rsvd}). */
    public long reserved() {
        long used = used();
        synchronized (this) {
            return Math.max(0, taken - used);
        }
    }

    /** The lines of /proc/meminfo about it. */
    public String describe() {
        return """
                HugePages_Total: %7d
                HugePages_Free:  %7d
                HugePages_Rsvd:  %7d
                HugePages_Surp:        0
                Hugepagesize:       2048 kB
                Hugetlb:         %7d kB
                """.formatted(total(), free(), reserved(), total() * (BYTES >> 10));
    }

    private long used() {
        List<PageStore> all;
        synchronized (this) {
            all = List.copyOf(stores);
        }
        return all.stream().mapToLong(PageStore::presentUnits).sum();
    }

    /** Takes pages; {@code -ENOMEM}, with none taken, when there are not so many. */
    public synchronized int take(long pages) {
        if (pages > total - taken) {
            return -Errno.ENOMEM;
        }
        taken += pages;
        return 0;
    }

    /** Gives pages back. */
    public synchronized void give(long pages) {
        taken -= pages;
    }

    synchronized void add(PageStore store) {
        stores.add(store);
    }

    synchronized void remove(PageStore store) {
        stores.remove(store);
    }

    /** How many huge pages a number of bytes touches. */
    public static long count(long bytes) {
        return (bytes + BYTES - 1) / BYTES;
    }

    /** Whether an offset or a length is a multiple of a huge page's. */
    public static boolean aligned(long bytes) {
        return (bytes & BYTES - 1) == 0;
    }
}
