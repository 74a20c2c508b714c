// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.locking.PercpuRwSemaphore;
import dev.alcove.kernel.locking.RegionLock;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What an I/O address space maps, and the domains that carry it ({@code struct io_pagetable}).
 *
 * <p>Locks, in this order: {@code domainsLock} (which domains there are; map and unmap hold it for reading, never twice, so
 * that no domain comes or goes meanwhile), {@code iovaLock} (the trees, and which area is in transition; of it what
 * {@link AreaTree} says, all of it for the other trees and fields), the mutex of pages. While map fills and unmap empties
 * domains only the first is held: maps and unmaps of different ranges run side by side, and an area in transition
 * ({@code area.pages == null}) is busy to everybody else. An area of up to {@link #SMALL} bytes is emptied under the iova
 * lock where its pages are free: that takes no longer than to give the lock away and to fetch it again, which costs those
 * who wait as much. A larger one, or one whose pages somebody is busy with, goes in two steps, so that nobody waits behind
 * it.
 */
final class IoPageTable {
    /** A piece of pages to be mapped: a reference to them that the map takes over, and the byte range in them. */
    record Slice(IopPages pages, long startByte, long length) {}

    /** What {@link #cutAndUnmap} tells as unmapped when it did not come so far. */
    static final long NOT_BEGUN = -1;

    private static final int MOST_NOTIFICATIONS = 100;

    /** Bytes: 16 pages, whose entries are cleared in a microsecond or two. */
    private static final long SMALL = 16L << Linux.PAGE_SHIFT;

    private final Allocator allocator;
    private final PercpuRwSemaphore domainsLock = new PercpuRwSemaphore();
    private final AreaTree areas = new AreaTree();
    private final RegionLock iovaLock = areas.lock();
    private final IovaRanges ranges;
    private final List<IommuDomain> domains = new ArrayList<>();
    private final IopAccesses accesses = new IopAccesses(areas);
    private final MappedAreas mapped;
    private long alignment = 1;
    private volatile boolean largePages = true;

    IoPageTable(Allocator allocator) {
        this.allocator = allocator;
        ranges = new IovaRanges(allocator, areas);
        mapped = new MappedAreas(allocator, areas);
    }

    /** Which IOVAs areas may have. */
    IovaRanges ranges() {
        return ranges;
    }

    /**
     * Maps slices one behind the other. Takes over their references, whatever the outcome.
     *
     * @param iova element 0: where to map; or, when it is to be chosen, receives the choice
     * @param choose whether the IOVA is to be chosen
     * @return 0 or a negated errno, with nothing mapped
     */
    int map(List<Slice> slices, long[] iova, boolean choose, int rights) {
        List<IopArea> made = new ArrayList<>(slices.size());
        int error = insertAreas(slices, iova, choose, rights, made);
        if (error == 0) {
            error = fillAreas(slices, made);
        }
        if (error != 0) {
            withLockOf(made, () -> made.forEach(areas::remove));
            slices.forEach(slice -> slice.pages().put());
        }
        return error;
    }

    private int insertAreas(List<Slice> slices, long[] iova, boolean choose, int rights, List<IopArea> made) {
        long length = 0;
        for (int i = 0; i < slices.size(); i++) {
            length += slices.get(i).length();
        }
        int hold = choose ? iovaLock.lockAll() : iovaLock.lock(iova[0], iova[0] + length - 1);
        try {
            if (length == 0 || (length & alignment - 1) != 0) {
                return -Errno.EINVAL;
            }
            Slice head = slices.getFirst();
            int error = choose
                    ? ranges.allocate(addressOf(head), length, alignment, iova)
                    : checkIova(iova[0], length);
            if (error != 0) {
                return error;
            }
            long at = iova[0];
            for (int i = 0; i < slices.size(); i++) {
                error = insertArea(slices.get(i), at, rights, made);
                if (error != 0) {
                    return error;
                }
                at += slices.get(i).length();
            }
            return 0;
        } finally {
            iovaLock.unlock(hold);
        }
    }

    private static long addressOf(Slice slice) {
        long address = slice.pages().source().address();
        return (address & -Linux.PAGE_SIZE) + slice.startByte();
    }

    private int checkIova(long iova, long length) {
        if ((iova & alignment - 1) != 0) {
            return -Errno.EINVAL;
        }
        long last = iova + length - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        if (ranges.reserved(iova, last)) {
            return -Errno.EINVAL;
        }
        return areas.overlaps(iova, last) ? -Errno.EEXIST : 0;
    }

    private int insertArea(Slice slice, long iova, int rights, List<IopArea> made) {
        if ((rights & IommuDomain.WRITE) != 0 && !slice.pages().writable()) {
            return -Errno.EPERM;
        }
        IopArea area = new IopArea(iova, iova + slice.length() - 1, slice.startByte(), rights);
        if ((area.pageOffset() & alignment - 1) != 0) {
            return -Errno.EINVAL;
        }
        if (!allocator.charge("iommufd area")) {
            return -Errno.ENOMEM;
        }
        areas.insert(area);
        made.add(area);
        return 0;
    }

    private int fillAreas(List<Slice> slices, List<IopArea> made) {
        domainsLock.readLock().lock();
        try {
            for (int i = 0; i < made.size(); i++) {
                int error = slices.get(i).pages().fill(made.get(i), domains, largePages);
                if (error != 0) {
                    while (--i >= 0) {
                        slices.get(i).pages().unfill(made.get(i), domains);
                    }
                    return error;
                }
            }
            publish(slices, made);
            return 0;
        } finally {
            domainsLock.readLock().unlock();
        }
    }

    /** All at once: who looks at several areas finds either none of them or all. */
    private void publish(List<Slice> slices, List<IopArea> made) {
        if (made.size() == 1) {
            made.getFirst().publish(slices.getFirst().pages());
            return;
        }
        withLockOf(made, () -> {
            for (int i = 0; i < made.size(); i++) {
                made.get(i).publish(slices.get(i).pages());
            }
        });
    }

    /**
     * Unmaps the areas in a range, ascending. Stops at the first that reaches out of it or is in transition: those before
     * are gone.
     *
     * @param unmapped element 0 receives the bytes unmapped, also on an error
     * @return 0, also when the range is empty; {@code -ENOENT} an area is covered in part; {@code -EBUSY};
     *     {@code -EDEADLK} the kernel itself does not let go of an area
     */
    int unmap(long first, long last, long[] unmapped) {
        return unmap(first, last, false, unmapped);
    }

    /**
     * Does {@link #cutAround} and unmaps what lies in the range then; nobody sees what is between the two.
     *
     * @param unmapped element 0 receives the bytes unmapped, also on an error; {@link #NOT_BEGUN} when the cut failed
     * @return 0; what a cut answers; {@code -EINVAL} empty, {@code -EOVERFLOW}; what {@link #unmap} answers
     */
    int cutAndUnmap(long iova, long length, long[] unmapped) {
        long last = iova + length - 1;
        if (length != 0 && Long.compareUnsigned(last, iova) >= 0) {
            return unmap(iova, last, true, unmapped);
        }
        int error = cutAround(iova, length);
        unmapped[0] = error != 0 ? NOT_BEGUN : 0;
        return error != 0 ? error : length == 0 ? -Errno.EINVAL : -Errno.EOVERFLOW;
    }

    private int unmap(long first, long last, boolean cut, long[] unmapped) {
        unmapped[0] = 0;
        long at = first;
        IopArea before = null;
        for (int tries = 0; ; ) {
            IopArea[] used = new IopArea[1];
            int error = unmapUnused(at, last, cut && before == null, unmapped, used);
            IopArea area = used[0];
            if (error != 0 || area == null) {
                return error;
            }
            tries = area == before ? tries + 1 : 1;
            before = area;
            accesses.notifyUnmap(area.iova, area.last);
            if (tries > MOST_NOTIFICATIONS) {
                return -Errno.EDEADLK;
            }
            at = area.iova;
        }
    }

    /**
     * As {@link #unmap}.
     *
     * @param cut whether areas are cut at the ends of the range first
     * @param used receives the area before which it ends, as the kernel itself uses it
     */
    private int unmapUnused(long first, long last, boolean cut, long[] unmapped, @Nullable IopArea[] used) {
        domainsLock.readLock().lock();
        try {
            for (long at = first; ; ) {
                IopArea area;
                IopPages pages;
                boolean small;
                boolean drained = false;
                boolean cutting = cut && at == first;
                // What is before the range may be cut off.
                int hold = lockAreas(cutting && at != 0 ? at - 1 : at, last);
                try {
                    Span<IopArea> span = areas.first(at, last);
                    // An area that is the very range needs no cut, nor does a hole.
                    if (cutting && span != null && (span.first != at || span.last != last)) {
                        int error = cutEnds(at, last);
                        if (error != 0) {
                            unmapped[0] = NOT_BEGUN;
                            return error;
                        }
                        span = areas.first(at, last);
                    }
                    if (span == null) {
                        return 0;
                    }
                    area = span.value;
                    pages = area.pages;
                    if (pages == null || area.locks > 0) {
                        return -Errno.EBUSY;
                    }
                    if (Long.compareUnsigned(area.iova, at) < 0 || Long.compareUnsigned(area.last, last) > 0) {
                        return -Errno.ENOENT;
                    }
                    if (area.accesses > 0) {
                        area.preventAccess = true;
                        used[0] = area;
                        return 0;
                    }
                    small = Long.compareUnsigned(area.length(), SMALL) <= 0 && pages.mutex.tryLock();
                    if (small) {
                        drained = emptyLocked(area, pages);
                        areas.remove(area);
                    } else {
                        area.pages = null;
                    }
                } finally {
                    iovaLock.unlock(hold);
                }
                if (!small) {
                    pages.mutex.lock();
                    drained = emptyLocked(area, pages);
                    withLockOf(List.of(area), () -> areas.remove(area));
                }
                if (drained) {
                    pages.close();
                }
                unmapped[0] += area.length();
                if (area.last == last) {
                    return 0;
                }
                at = area.last + 1;
            }
        } finally {
            domainsLock.readLock().unlock();
        }
    }

    /** Holds a range for changes, and with it what the areas that overlap it need. */
    private int lockAreas(long first, long last) {
        int hold = iovaLock.lock(first, last);
        if (RegionLock.isAll(hold) || !areas.anyWide(first, last)) {
            return hold;
        }
        iovaLock.unlock(hold);
        return iovaLock.lockAll();
    }

    /** Lets go of an area's pages, whose mutex the caller holds, and gives that back; whether they are to be closed. */
    private boolean emptyLocked(IopArea area, IopPages pages) {
        try {
            return pages.unfillAndPut(area, domains);
        } finally {
            pages.mutex.unlock();
        }
    }

    /**
     * Cuts areas so that none reaches over the ends of a range ({@code iopt_cut_iova}, the upper end first). Translations do
     * not change, not even for a moment.
     *
     * @return 0; {@code -EBUSY} in transition; {@code -EINVAL} not aligned, or a domain may use large entries;
     *     {@code -ENOMEM}
     */
    private int cutAround(long iova, long length) {
        int hold = iovaLock.lockAll();
        try {
            return cutEnds(iova, iova + length - 1);
        } finally {
            iovaLock.unlock(hold);
        }
    }

    private int cutEnds(long first, long last) {
        int error = cut(last);
        return error != 0 || first == 0 ? error : cut(first - 1);
    }

    /** Nothing happens in a hole, at an area's end, or, as Linux has it, behind an area's first byte. */
    private int cut(long iova) {
        Span<IopArea> span = areas.first(iova, iova);
        return span == null || span.first == iova || span.last == iova ? 0 : split(span.value, iova + 1);
    }

    private int split(IopArea area, long boundary) {
        IopPages pages = area.pages;
        if (pages == null || area.preventAccess) {
            return -Errno.EBUSY;
        }
        if (pages.isDmaBuf()) {
            return -Errno.EOPNOTSUPP;
        }
        if (((boundary | area.startByteOf(boundary)) & alignment - 1) != 0) {
            return -Errno.EINVAL;
        }
        if (!allocator.charge("lower iommufd area") || !allocator.charge("upper iommufd area")) {
            return -Errno.ENOMEM;
        }
        IopArea low = new IopArea(area.iova, boundary - 1, area.startByte, area.rights);
        IopArea high = new IopArea(boundary, area.last, area.startByteOf(boundary), area.rights);
        pages.mutex.lock();
        try {
            if (area.accesses > 0 || (area.storage != null && largePages)) {
                return -Errno.EINVAL;
            }
            pages.split(area, low, high);
        } finally {
            pages.mutex.unlock();
        }
        areas.remove(area);
        areas.insert(low);
        areas.insert(high);
        low.publish(pages);
        high.publish(pages);
        return 0;
    }

    /** Adds a domain and maps everything into it. All or nothing; {@code -EINVAL -EADDRINUSE -ENOMEM -EFAULT}. */
    int addDomain(IommuDomain domain) {
        lockAll();
        try {
            long needed = Math.max(alignment, domain.format().smallestPage());
            if (needed > Linux.PAGE_SIZE) {
                return -Errno.EINVAL;
            }
            if (needed != alignment && !fits(needed)) {
                return -Errno.EADDRINUSE;
            }
            int error = ranges.reserveOutside(domain.format().first(), domain.format().last(), domain);
            if (error == 0) {
                error = allocator.charge("iommufd domain") ? fillDomain(domain) : -Errno.ENOMEM;
            }
            if (error != 0) {
                ranges.removeOwner(domain);
                return error;
            }
            alignment = needed;
            domains.add(domain);
            return 0;
        } finally {
            unlockAll();
        }
    }

    private int fillDomain(IommuDomain domain) {
        List<IopArea> all = areas.values();
        for (int i = 0; i < all.size(); i++) {
            IopPages pages = all.get(i).pages;
            int error = pages == null ? 0 : pages.fill(all.get(i), List.of(domain), largePages);
            if (error != 0) {
                while (--i >= 0) {
                    emptyDomain(all.get(i), domain);
                }
                return error;
            }
        }
        return 0;
    }

    /** Takes a domain away; cannot fail. */
    void removeDomain(IommuDomain domain) {
        lockAll();
        try {
            if (!domains.remove(domain)) {
                return;
            }
            areas.values().forEach(area -> emptyDomain(area, domain));
            ranges.removeOwner(domain);
            updateAlignment();
        } finally {
            unlockAll();
        }
    }

    /** Unmaps one area from a domain that is not in the list (yet, or any more). */
    private void emptyDomain(IopArea area, IommuDomain domain) {
        IopPages pages = area.pages;
        if (pages == null) {
            return;
        }
        if (domains.isEmpty()) {
            pages.unfill(area, List.of(domain));
        } else {
            pages.unmapFrom(area, domain, domains.getFirst());
        }
    }

    /** Whether every area would be aligned. */
    private boolean fits(long needed) {
        for (IopArea area : areas.values()) {
            if (((area.iova | area.length() | area.pageOffset()) & needed - 1) != 0) {
                return false;
            }
        }
        return true;
    }

    private void updateAlignment() {
        alignment = largePages ? accesses.alignment() : Linux.PAGE_SIZE;
        for (IommuDomain domain : domains) {
            alignment = Math.max(alignment, domain.format().smallestPage());
        }
    }

    /** Adds a user of the kernel's own: 0, {@code -EADDRINUSE} areas are not aligned as it needs them, {@code -ENOMEM}. */
    int addAccess(IommufdAccess access) {
        lockAll();
        try {
            if (!allocator.charge("iommufd access list")) {
                return -Errno.ENOMEM;
            }
            if (access.alignment() > alignment && !fits(access.alignment())) {
                return -Errno.EADDRINUSE;
            }
            accesses.add(access);
            updateAlignment();
            return 0;
        } finally {
            unlockAll();
        }
    }

    void removeAccess(IommufdAccess access) {
        lockAll();
        try {
            accesses.remove(access);
            updateAlignment();
        } finally {
            unlockAll();
        }
    }

    /** The users of the kernel's own. */
    IopAccesses accesses() {
        return accesses;
    }

    /** What is mapped. */
    MappedAreas mapped() {
        return mapped;
    }

    /** {@code -EINVAL} when domains have areas already, {@code -EADDRINUSE} when areas are not page aligned. */
    int disableLargePages() {
        lockAll();
        try {
            if (!largePages) {
                return 0;
            }
            if (!domains.isEmpty() && !areas.isEmpty()) {
                return -Errno.EINVAL;
            }
            if (!fits(Linux.PAGE_SIZE)) {
                return -Errno.EADDRINUSE;
            }
            largePages = false;
            updateAlignment();
            return 0;
        } finally {
            unlockAll();
        }
    }

    void enableLargePages() {
        lockAll();
        try {
            largePages = true;
            updateAlignment();
        } finally {
            unlockAll();
        }
    }

    boolean largePages() {
        return largePages;
    }

    long alignment() {
        int hold = iovaLock.lockAllShared();
        try {
            return alignment;
        } finally {
            iovaLock.unlockShared(hold);
        }
    }

    /** Page sizes as VFIO tells them. */
    long pageSizes() {
        domainsLock.readLock().lock();
        try {
            long sizes = -1;
            for (IommuDomain domain : domains) {
                sizes &= domain.format().pageSizes();
            }
            if ((sizes & (Linux.PAGE_SIZE - 1)) != 0) {
                sizes = (sizes & -Linux.PAGE_SIZE) | Linux.PAGE_SIZE;
            }
            return sizes;
        } finally {
            domainsLock.readLock().unlock();
        }
    }

    /** Holds what areas lie in that come into being or go away, ascending. */
    private void withLockOf(List<IopArea> changing, Runnable work) {
        if (changing.isEmpty()) {
            return;
        }
        int hold = iovaLock.lock(changing.getFirst().iova, changing.getLast().last);
        try {
            work.run();
        } finally {
            iovaLock.unlock(hold);
        }
    }

    /** Stops everything else; for whatever changes more than areas. */
    void lockAll() {
        domainsLock.writeLock().lock();
        iovaLock.lockAll();
    }

    /** Undoes {@link #lockAll}. */
    void unlockAll() {
        iovaLock.unlockAll();
        domainsLock.writeLock().unlock();
    }

    /** The pages of all areas, null for one in transition. The caller holds {@link #lockAll}. */
    List<@Nullable IopPages> allPages() {
        List<@Nullable IopPages> pages = new ArrayList<>();
        areas.values().forEach(area -> pages.add(area.pages));
        return pages;
    }
}
