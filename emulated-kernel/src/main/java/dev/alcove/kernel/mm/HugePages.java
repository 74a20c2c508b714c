// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The machine's pool of huge pages of one size (hugetlb). It counts: who maps or allocates one takes it from the pool,
 * and its frames are then any contiguous ones that are aligned to the size. None are surplus.
 *
 * <p>Guarded by the monitor, which is a leaf; page stores are looked at without it.
 */
public final class HugePages {
    private final long bytes;
    private final Set<PageStore> stores = new HashSet<>();
    private long total;
    private long taken;

    /** @param bytes of one page, a power of two */
    HugePages(long bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one page. */
    public long bytes() {
        return bytes;
    }

    /** Frames of one page. */
    public long frames() {
        return bytes >> Linux.PAGE_SHIFT;
    }

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

    /** How many pages of this size a length touches. */
    public long count(long length) {
        return (length + bytes - 1) / bytes;
    }

    /** A length or an address, made a multiple of a page's by rounding it up. */
    public long roundUp(long length) {
        return count(length) * bytes;
    }

    /** Whether an offset or a length is a multiple of a page's. */
    public boolean aligned(long length) {
        return (length & bytes - 1) == 0;
    }
}
