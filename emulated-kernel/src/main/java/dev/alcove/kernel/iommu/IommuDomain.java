// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.locking.RegionLock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * A page table: IOVA to address, as large as its {@link PageFormat} says.
 *
 * <p>Lock: a {@link RegionLock} over IOVAs. A DMA shares the hold of a page from its translation to the last byte it moves
 * in that page; map and unmap hold their range for themselves, unmap until the IOTLBs are clean. So when {@link #unmap}
 * returns, no DMA that began before it can touch the frames any more, and none that begins later can find them.
 */
public final class IommuDomain implements Domain {
    /** The device may read. */
    public static final int READ = 1;

    /** The device may write. */
    public static final int WRITE = 2;

    /** Regions of the lock are of 16 MiB, as an address space's, or as large as a table of the lowest level. */
    private static final int REGION_SHIFT = 24;

    private final Iommu iommu;
    private final int id;
    private final IommuDriver driver;
    private final PageFormat format;
    private final boolean tracksDirty;
    private final RegionLock lock;
    private final PageTable table;
    private final CopyOnWriteArrayList<IommuDevice> devices = new CopyOnWriteArrayList<>();

    /** Whether DMA is being tracked. */
    private volatile boolean tracking;

    IommuDomain(Iommu iommu, int id, IommuDriver driver, PageFormat format, boolean tracksDirty) {
        this.iommu = iommu;
        this.id = id;
        this.driver = driver;
        this.format = format;
        this.tracksDirty = tracksDirty;
        this.table = new PageTable(iommu.allocator(), format);
        this.lock = new RegionLock(Math.max(REGION_SHIFT, table.regionShift()));
    }

    @Override
    public IommuDriver driver() {
        return driver;
    }

    @Override
    public IommuDomain paging() {
        return this;
    }

    /** Sizes of pages, and the aperture. */
    public PageFormat format() {
        return format;
    }

    /** Tags the domain's translations in IOTLBs. */
    public int id() {
        return id;
    }

    /**
     * Maps contiguous memory.
     *
     * @param iova as aligned as the smallest page, like the address and the length
     * @param address where to, in bytes
     * @param rights READ, WRITE or both
     * @param large whether entries above 4 KiB may be used where they fit
     * @return 0; {@code -EINVAL} without a right, not aligned, or beyond the table; {@code -EADDRINUSE} when something is
     *     mapped there; {@code -ENOMEM}. On an error nothing of this call stays mapped.
     */
    public int map(long iova, long address, long length, int rights, boolean large) {
        if ((rights & (READ | WRITE)) == 0 || !covers(iova, length)) {
            return -Errno.EINVAL;
        }
        int result = map(lock.lock(iova, iova + length - 1), iova, address, length, rights, large);
        return result == PageTable.NEEDS_ALL ? map(lock.lockAll(), iova, address, length, rights, large) : result;
    }

    private int map(int hold, long iova, long address, long length, int rights, boolean large) {
        try {
            return table.map(iova, address, length, rights, large, RegionLock.isAll(hold));
        } finally {
            lock.unlock(hold);
        }
    }

    /**
     * Unmaps every entry that lies wholly in a range; holes are passed over. Stops at a large entry that reaches out of
     * the range: it cannot be cut.
     *
     * @param iova as aligned as the smallest page, like the length
     * @param removed receives what was mapped in ascending order, under the domain's lock; null when nobody asks
     * @return how many bytes were unmapped
     */
    public long unmap(long iova, long length, @Nullable UnmapSink removed) {
        if (!covers(iova, length)) {
            return 0;
        }
        int hold = lock.lock(iova, iova + length - 1);
        try {
            long unmapped = table.unmap(iova, length, removed);
            if (unmapped > 0 && iommu.invalidating()) {
                long pages = ((iova + length - 1) >>> Linux.PAGE_SHIFT) - (iova >>> Linux.PAGE_SHIFT) + 1;
                for (IommuDevice device : devices) {
                    device.iotlb().invalidate(id, iova >>> Linux.PAGE_SHIFT, pages);
                    iommu.iotlbCounters().invalidation();
                }
            }
            return unmapped;
        } finally {
            lock.unlock(hold);
        }
    }

    /** The address behind an IOVA ({@code iommu_iova_to_phys}), -1 when nothing is mapped. */
    public long address(long iova) {
        long entry = entry(iova);
        long offset = (1L << format.pageShift()) - 1;
        return entry == 0 ? -1 : (entry & ~offset) | (iova & offset);
    }

    /** The frame behind an IOVA, -1 when nothing is mapped. */
    public long frame(long iova) {
        return address(iova) >> Linux.PAGE_SHIFT;
    }

    /** The rights of an IOVA, 0 when nothing is mapped. */
    public int rights(long iova) {
        return (int) entry(iova) & (READ | WRITE);
    }

    /** Bytes of the page that maps an IOVA; 0 when nothing is mapped. */
    public long entrySize(long iova) {
        int hold = lock.lockShared(iova, iova);
        try {
            return table.pageSizeAt(iova);
        } finally {
            lock.unlockShared(hold);
        }
    }

    /** Receives one page of the table. */
    @FunctionalInterface
    public interface PageSink {
        /**
         * A page of the table.
         *
         * @param address where it points to, in bytes
         * @param length bytes
         */
        void accept(long iova, long address, long length, int rights);
    }

    /** Visits each page that is mapped, ascending, under the domain's lock. */
    public void forEachPage(PageSink sink) {
        int hold = lock.lockAllShared();
        try {
            table.forEach(sink::accept);
        } finally {
            lock.unlockShared(hold);
        }
    }

    /** All that is mapped, ascending, neighbours with the same rights joined. */
    public List<IovaExtent> extents() {
        List<IovaExtent> extents = new ArrayList<>();
        int hold = lock.lockAllShared();
        try {
            table.forEach((iova, address, length, rights) -> {
                IovaExtent last = extents.isEmpty() ? null : extents.getLast();
                if (last != null && last.rights() == rights && last.iova() + last.length() == iova) {
                    extents.removeLast();
                    extents.add(new IovaExtent(last.iova(), last.length() + length, rights));
                } else {
                    extents.add(new IovaExtent(iova, length, rights));
                }
            });
        } finally {
            lock.unlockShared(hold);
        }
        return extents;
    }

    /** Pages of 4 KiB that are mapped. */
    public long mappedPages() {
        int hold = lock.lockAllShared();
        try {
            return table.mappedBytes() >>> Linux.PAGE_SHIFT;
        } finally {
            lock.unlockShared(hold);
        }
    }

    /** Whether the domain can tell what DMA wrote to. */
    public boolean tracksDirty() {
        return tracksDirty;
    }

    /** Whether DMA is being tracked. */
    public boolean tracking() {
        return tracking;
    }

    /** Starts or ends tracking; pages stay as dirty as they are. Only where {@link #tracksDirty}. */
    public void setTracking(boolean on) {
        int hold = lock.lockAll();
        try {
            tracking = on;
        } finally {
            lock.unlock(hold);
        }
    }

    /** What DMA to an IOVA does to its page; whether anything is mapped there. */
    public boolean markDirty(long iova) {
        int hold = lock.lock(iova, iova);
        try {
            return covers(iova & -format.smallestPage(), format.smallestPage()) && table.markDirty(iova);
        } finally {
            lock.unlock(hold);
        }
    }

    /**
     * Tells what DMA wrote to ({@code read_and_clear_dirty}).
     *
     * @param clear whether it is forgotten
     * @param sink called in ascending order, under the domain's lock
     */
    public void readDirty(long iova, long length, boolean clear, DirtySink sink) {
        if (!covers(iova, length)) {
            return;
        }
        int hold = lock.lock(iova, iova + length - 1);
        try {
            table.readDirty(iova, length, clear, sink);
        } finally {
            lock.unlock(hold);
        }
    }

    /** A DMA to a page begins; answers what {@link #endDma} takes. */
    int beginDma(long iova) {
        return lock.lockShared(iova, iova);
    }

    void endDma(int hold) {
        lock.unlockShared(hold);
    }

    /** The address of the page behind an IOVA, with the rights; 0 when there is none. The caller holds its lock. */
    long walk(long iova) {
        return table.walk(iova);
    }

    /** Waits until every DMA that has begun is over. */
    void drain() {
        lock.unlock(lock.lockAll());
    }

    void addDevice(IommuDevice device) {
        devices.add(device);
    }

    void removeDevice(IommuDevice device) {
        devices.remove(device);
        if (iommu.invalidating()) {
            device.iotlb().invalidateDomain(id);
            iommu.iotlbCounters().invalidation();
        }
    }

    private long entry(long iova) {
        if (Long.compareUnsigned(iova, lastOfTable()) > 0) {
            return 0;
        }
        int hold = lock.lockShared(iova, iova);
        try {
            return table.walk(iova);
        } finally {
            lock.unlockShared(hold);
        }
    }

    /** The last IOVA that the table has an entry for. */
    long lastOfTable() {
        return (1L << (format.pageShift() + format.levels() * PageFormat.LEVEL_BITS)) - 1;
    }

    /** Whether the table has entries for a range, whatever the aperture. */
    private boolean covers(long iova, long length) {
        long last = lastOfTable();
        return ((iova | length) & (1L << format.pageShift()) - 1) == 0
                && iova >= 0
                && iova <= last
                && length > 0
                && length <= last + 1 - iova;
    }
}
