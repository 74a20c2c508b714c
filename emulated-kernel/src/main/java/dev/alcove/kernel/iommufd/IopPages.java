// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A linear array of pages from one source, shared by all areas that map some of it ({@code struct iopt_pages}).
 *
 * <p>A page is pinned exactly once while at least one area with a domain covers it, however many do. The frames are
 * remembered nowhere but in the page table entries of such an area's storage domain, as in the kernel: the next domain
 * reads them back from there, and the last area to let go takes them out of there and unpins them, after the unmap.
 *
 * <p>Lock: {@code mutex}, below the locks of every page table, above address spaces and domains.
 */
final class IopPages {
    private static final int BATCH = 512;

    /** IOVAs are unmapped in steps of this many bytes; no page table entry is larger. */
    private static final long UNMAP_STEP = 1L << 30;

    final ReentrantLock mutex = new ReentrantLock();
    private final Allocator allocator;
    private final PageSource source;
    private final boolean writable;
    private final IntervalTree<IopArea> holders = new IntervalTree<>();

    /** Of a dma-buf only. */
    private final @Nullable DmaBufTracker tracker;

    private MemlockAccount account;
    private long pinned;
    private int references = 1;

    IopPages(Allocator allocator, PageSource source, boolean writable, MemlockAccount account) {
        this.allocator = allocator;
        this.source = source;
        this.writable = writable;
        this.account = account;
        this.tracker = source instanceof DmaBufSource ? new DmaBufTracker() : null;
    }

    /** Whether the first mapping asked for writing; fixed for life. */
    boolean writable() {
        return writable;
    }

    PageSource source() {
        return source;
    }

    /** Whether this is a dma-buf. */
    boolean isDmaBuf() {
        return tracker != null;
    }

    /** The exporter of a dma-buf takes it back. */
    void revoke() {
        mutex.lock();
        try {
            if (tracker != null) {
                tracker.revoke();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** Pages pinned now. */
    long pinned() {
        mutex.lock();
        try {
            return pinned;
        } finally {
            mutex.unlock();
        }
    }

    MemlockAccount account() {
        return account;
    }

    void get() {
        mutex.lock();
        try {
            references++;
        } finally {
            mutex.unlock();
        }
    }

    void put() {
        boolean last;
        mutex.lock();
        try {
            last = --references == 0;
        } finally {
            mutex.unlock();
        }
        if (last) {
            source.close();
        }
    }

    /**
     * Moves the charge to another process (IOMMU_IOAS_CHANGE_PROCESS).
     *
     * @return 0 or {@code -ENOMEM}, with nothing changed
     */
    int changeAccount(MemlockAccount next) {
        mutex.lock();
        try {
            int error = next.charge(pinned);
            if (error == 0) {
                account.uncharge(pinned);
                account = next;
            }
            return error;
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Maps an area into domains that do not have it yet: pins what is not pinned, reads back what is. All or nothing.
     *
     * @param large whether entries above 4 KiB may be used
     * @return 0; {@code -EFAULT}, {@code -EINVAL} from the source; {@code -ENOMEM}
     */
    int fill(IopArea area, List<IommuDomain> domains, boolean large) {
        if (domains.isEmpty()) {
            return 0;
        }
        if (!allocator.charge("iommufd batch")) {
            return -Errno.ENOMEM;
        }
        mutex.lock();
        try {
            if (tracker != null) {
                tracker.add(area, domains);
            }
            PfnRuns fresh = new PfnRuns();
            int error = tracker != null && tracker.revoked() ? 0 : mapAll(area, domains, large, fresh);
            if (error == 0) {
                error = account.charge(fresh.pages());
            }
            if (error != 0) {
                domains.forEach(domain -> domain.unmap(area.iova, area.length(), null));
                fresh.forEach((index, pfn, pages) -> unpin(pfn, pages));
                if (tracker != null) {
                    tracker.remove(area, domains);
                }
                return error;
            }
            pinned += fresh.pages();
            if (area.storage == null) {
                hold(area, domains.getFirst());
            }
            return 0;
        } finally {
            mutex.unlock();
        }
    }

    /** Pins everything first: what a page table says comes after what the source says. */
    private int mapAll(IopArea area, List<IommuDomain> domains, boolean large, PfnRuns fresh) {
        long[] frames = new long[BATCH];
        long last = area.lastIndex();
        PfnRuns all = new PfnRuns();
        for (long index = area.firstIndex(); index <= last; ) {
            Span<IopArea> holder = holders.first(index, last);
            int count;
            if (holder != null && holder.first <= index) {
                count = (int) Math.min(BATCH, Math.min(holder.last, last) - index + 1);
                readBack(holder.value, index, count, frames);
            } else {
                long spanLast = holder == null ? last : holder.first - 1;
                count = (int) Math.min(BATCH, spanLast - index + 1);
                count = source.pin(index, count, writable, frames);
                if (count < 0) {
                    return count;
                }
                for (int i = 0; i < count && tracker == null; i++) {
                    fresh.add(index + i, frames[i], 1);
                }
            }
            for (int i = 0; i < count; i++) {
                all.add(index + i, frames[i], 1);
            }
            index += count;
        }
        int[] error = new int[1];
        all.forEach((index, pfn, pages) ->
                error[0] = error[0] == 0 ? mapRun(area, domains, large, index, pfn, pages) : error[0]);
        return error[0];
    }

    private static int mapRun(
            IopArea area, List<IommuDomain> domains, boolean large, long index, long pfn, long pages) {
        long iova = area.iovaOf(index);
        long address = (pfn << Linux.PAGE_SHIFT) + area.offsetIn(index);
        long length = area.endOf(index + pages - 1) - iova;
        for (IommuDomain domain : domains) {
            int error = domain.map(iova, address, length, area.rights, large);
            if (error != 0) {
                return error;
            }
        }
        return 0;
    }

    private static void readBack(IopArea holder, long index, int count, long[] frames) {
        IommuDomain storage = storageOf(holder);
        for (int i = 0; i < count; i++) {
            long address = storage.address(holder.iovaOf(index + i));
            if (address < 0) {
                throw new AssertionError("the storage domain lost IOVA " + Long.toHexString(holder.iovaOf(index + i)));
            }
            frames[i] = address >>> Linux.PAGE_SHIFT;
        }
    }

    /**
     * Unmaps an area from all domains that have it, then unpins what no other area holds. Cannot fail: an area is always
     * taken out as a whole, so no large entry needs a cut.
     */
    void unfill(IopArea area, List<IommuDomain> domains) {
        mutex.lock();
        try {
            if (area.storage == null) {
                return;
            }
            IommuDomain storage = storageOf(area);
            release(area);
            if (tracker != null) {
                tracker.unmap(area);
                return;
            }
            // A page that two steps would share must not be unpinned between them.
            long step = area.pageOffset() == 0 ? UNMAP_STEP - 1 : -1;
            PfnRuns removed = new PfnRuns();
            for (long at = area.iova; ; ) {
                long stepLast = Long.compareUnsigned(at | step, area.last) < 0 ? (at | step) : area.last;
                long length = stepLast - at + 1;
                for (IommuDomain domain : domains) {
                    if (domain != storage) {
                        domain.unmap(at, length, null);
                    }
                }
                removed.clear();
                storage.unmap(at, length, (iova, address, bytes) -> {
                    long first = area.startByteOf(iova) >>> Linux.PAGE_SHIFT;
                    long last = area.startByteOf(iova + bytes - 1) >>> Linux.PAGE_SHIFT;
                    removed.add(first, address >>> Linux.PAGE_SHIFT, last - first + 1);
                });
                removed.forEach(this::unpinUnheld);
                if (stepLast == area.last) {
                    return;
                }
                at = stepLast + 1;
            }
        } finally {
            mutex.unlock();
        }
    }

    /** Unmaps an area from one of several domains; another one becomes the storage domain if need be. */
    void unmapFrom(IopArea area, IommuDomain domain, IommuDomain other) {
        mutex.lock();
        try {
            if (area.storage == domain) {
                area.storage = other;
            }
            boolean gone = tracker != null && tracker.revoked();
            if (tracker != null) {
                tracker.remove(area, List.of(domain));
            }
            if (!gone) {
                domain.unmap(area.iova, area.length(), null);
            }
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Lets two halves take an area's place; no page table entry changes. The caller holds {@link #mutex} and has given
     * the halves their references.
     */
    void split(IopArea area, IopArea low, IopArea high) {
        if (area.storage != null) {
            IommuDomain storage = storageOf(area);
            release(area);
            hold(low, storage);
            hold(high, storage);
        }
    }

    private void unpinUnheld(long index, long pfn, long pages) {
        holders.holes(index, index + pages - 1, (first, last) -> {
            long count = last - first + 1;
            unpin(pfn + (first - index), count);
            pinned -= count;
            account.uncharge(count);
            return true;
        });
    }

    private void unpin(long pfn, long pages) {
        for (long i = 0; i < pages; i++) {
            source.unpin(pfn + i);
        }
    }

    private void hold(IopArea area, IommuDomain storage) {
        area.storage = storage;
        area.holder = holders.insert(area.firstIndex(), area.lastIndex(), area);
    }

    private void release(IopArea area) {
        Span<IopArea> holder = area.holder;
        if (holder != null) {
            holders.remove(holder);
        }
        area.holder = null;
        area.storage = null;
    }

    private static IommuDomain storageOf(IopArea area) {
        IommuDomain storage = area.storage;
        if (storage == null) {
            throw new AssertionError("an area that holds pages has no storage domain");
        }
        return storage;
    }
}
