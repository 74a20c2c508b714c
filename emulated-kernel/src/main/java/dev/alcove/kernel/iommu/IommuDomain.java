// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.StampedLock;
import org.jspecify.annotations.Nullable;

/**
 * A second-stage page table: IOVA to frame, with entries of 4 KiB, 2 MiB and 1 GiB.
 *
 * <p>Lock: one read/write lock. A DMA holds it for reading from the translation of a page to the last byte it moves in
 * that page; map and unmap hold it for writing, unmap until the IOTLBs are clean. So when {@link #unmap} returns, no DMA
 * that began before it can touch the frames any more, and none that begins later can find them.
 */
public final class IommuDomain {
    /** The device may read. */
    public static final int READ = 1;

    /** The device may write. */
    public static final int WRITE = 2;

    /** The last IOVA: the page table has four levels. */
    public static final long LAST_IOVA = (1L << 48) - 1;

    /** Sizes of entries, one bit each. */
    public static final long PAGE_SIZES = 1L << 12 | 1L << 21 | 1L << 30;

    private final Iommu iommu;
    private final int id;
    private final StampedLock lock = new StampedLock();
    private final PageTable table;
    private final CopyOnWriteArrayList<IommuDevice> devices = new CopyOnWriteArrayList<>();

    IommuDomain(Iommu iommu, int id) {
        this.iommu = iommu;
        this.id = id;
        this.table = new PageTable(iommu.allocator());
    }

    /** Tags the domain's translations in IOTLBs. */
    public int id() {
        return id;
    }

    /**
     * Maps contiguous frames.
     *
     * @param iova page aligned
     * @param rights READ, WRITE or both
     * @param large whether entries above 4 KiB may be used where they fit
     * @return 0; {@code -EINVAL} without a right or beyond the aperture; {@code -EADDRINUSE} when something is mapped
     *     there; {@code -ENOMEM}. On an error nothing of this call stays mapped.
     */
    public int map(long iova, long pfn, long pages, int rights, boolean large) {
        if ((rights & (READ | WRITE)) == 0 || !inAperture(iova, pages)) {
            return -Errno.EINVAL;
        }
        long stamp = lock.writeLock();
        try {
            return table.map(iova >>> Linux.PAGE_SHIFT, pfn, pages, rights, large);
        } finally {
            lock.unlockWrite(stamp);
        }
    }

    /**
     * Unmaps every entry that lies wholly in a range; holes are passed over. Stops at a large entry that reaches out of
     * the range: it cannot be cut.
     *
     * @param iova page aligned
     * @param removed receives the frames in ascending order, under the domain's lock; null when nobody asks
     * @return how many pages were unmapped
     */
    public long unmap(long iova, long pages, @Nullable PfnSink removed) {
        if (!inAperture(iova, pages)) {
            return 0;
        }
        long page = iova >>> Linux.PAGE_SHIFT;
        long stamp = lock.writeLock();
        try {
            long unmapped = table.unmap(page, pages, removed);
            if (unmapped > 0 && iommu.invalidating()) {
                for (IommuDevice device : devices) {
                    device.iotlb().invalidate(id, page, pages);
                }
            }
            return unmapped;
        } finally {
            lock.unlockWrite(stamp);
        }
    }

    /** The frame behind an IOVA ({@code iommu_iova_to_phys}), -1 when nothing is mapped. */
    public long frame(long iova) {
        long entry = entry(iova);
        return entry == 0 ? -1 : entry >>> Linux.PAGE_SHIFT;
    }

    /** The rights of an IOVA, 0 when nothing is mapped. */
    public int rights(long iova) {
        return (int) entry(iova) & (READ | WRITE);
    }

    /** Bytes of the page table entry that maps an IOVA: 4 KiB, 2 MiB or 1 GiB; 0 when nothing is mapped. */
    public long entrySize(long iova) {
        long stamp = lock.readLock();
        try {
            return table.entryPages(iova >>> Linux.PAGE_SHIFT) << Linux.PAGE_SHIFT;
        } finally {
            lock.unlockRead(stamp);
        }
    }

    /** All that is mapped, ascending, neighbours with the same rights joined. */
    public List<IovaExtent> extents() {
        List<IovaExtent> extents = new ArrayList<>();
        long stamp = lock.readLock();
        try {
            table.forEach((page, pfn, pages, rights) -> {
                IovaExtent last = extents.isEmpty() ? null : extents.getLast();
                long iova = page << Linux.PAGE_SHIFT;
                if (last != null
                        && last.rights() == rights
                        && last.iova() + (last.pages() << Linux.PAGE_SHIFT) == iova) {
                    extents.removeLast();
                    extents.add(new IovaExtent(last.iova(), last.pages() + pages, rights));
                } else {
                    extents.add(new IovaExtent(iova, pages, rights));
                }
            });
        } finally {
            lock.unlockRead(stamp);
        }
        return extents;
    }

    /** Pages that are mapped. */
    public long mappedPages() {
        long stamp = lock.readLock();
        try {
            return table.mappedPages();
        } finally {
            lock.unlockRead(stamp);
        }
    }

    long beginDma() {
        return lock.readLock();
    }

    void endDma(long stamp) {
        lock.unlockRead(stamp);
    }

    /** The leaf entry of a page: frame and rights; 0 when there is none. The caller holds the lock. */
    long walk(long page) {
        return table.walk(page);
    }

    /** Waits until every DMA that has begun is over. */
    void drain() {
        lock.unlockWrite(lock.writeLock());
    }

    void addDevice(IommuDevice device) {
        devices.add(device);
    }

    void removeDevice(IommuDevice device) {
        devices.remove(device);
        device.iotlb().invalidateAll();
    }

    private long entry(long iova) {
        if (Long.compareUnsigned(iova, LAST_IOVA) > 0) {
            return 0;
        }
        long stamp = lock.readLock();
        try {
            return table.walk(iova >>> Linux.PAGE_SHIFT);
        } finally {
            lock.unlockRead(stamp);
        }
    }

    private static boolean inAperture(long iova, long pages) {
        return (iova & Linux.PAGE_SIZE - 1) == 0
                && iova >= 0
                && iova <= LAST_IOVA
                && pages > 0
                && pages <= (LAST_IOVA + 1 - iova) >>> Linux.PAGE_SHIFT;
    }
}
