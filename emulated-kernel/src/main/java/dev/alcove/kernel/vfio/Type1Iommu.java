// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.iommu.PfnRuns;
import dev.alcove.kernel.iommu.ReservedRegion;
import dev.alcove.kernel.mm.DevicePage;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The type1 IOMMU of a container (drivers/vfio/vfio_iommu_type1.c): mappings of user memory, all of them in one domain, as
 * all groups of this machine are behind the same IOMMU. Pages are pinned as long as they are mapped; which they are is
 * remembered by the domain's page table only.
 *
 * <p>Lock: its monitor, below that of {@link VfioContainer}, above address spaces and domains.
 */
final class Type1Iommu {
    static final int TYPE1 = vfio.VFIO_TYPE1_IOMMU();
    static final int TYPE1_V2 = vfio.VFIO_TYPE1v2_IOMMU();
    private static final int DMA_CC = vfio.VFIO_DMA_CC_IOMMU();
    private static final int UNMAP_ALL = vfio.VFIO_UNMAP_ALL();
    private static final int UPDATE_VADDR = vfio.VFIO_UPDATE_VADDR();

    /** How many mappings there can be: the default of the module's parameter dma_entry_limit. */
    static final int ENTRY_LIMIT = 0xffff;

    private static final int BATCH = 512;

    /** IOVAs that a device may use, both ends included. */
    record Range(long first, long last) {}

    private final EmulatedKernel kernel;
    private final boolean v2;
    private final Set<IommuGroup> groups = new LinkedHashSet<>();
    private final TreeMap<Long, Type1Dma> mappings = new TreeMap<>(Long::compareUnsigned);
    private @Nullable IommuDomain domain;
    private int available = ENTRY_LIMIT;
    /** Mappings whose address is not known. */
    private int withoutAddress;

    private boolean tracking;

    /** @param v2 whether an unmap must not cut mappings; before, it took whole ones */
    Type1Iommu(EmulatedKernel kernel, boolean v2) {
        this.kernel = kernel;
        this.v2 = v2;
    }

    boolean v2() {
        return v2;
    }

    /** VFIO_CHECK_EXTENSION, also before there is an IOMMU. */
    static int checkExtension(@Nullable Type1Iommu iommu, long extension) {
        boolean always = extension == TYPE1 || extension == TYPE1_V2 || extension == UNMAP_ALL;
        // Every domain of this machine snoops.
        boolean attached = extension == UPDATE_VADDR || extension == DMA_CC;
        return always || (attached && iommu != null) ? 1 : 0;
    }

    long ioctl(Task task, int request, long argument) {
        return new Type1Commands(this, task).execute(request, argument);
    }

    /** Whether sums that wrap are told as such: since 6.18 and its stable releases. */
    int overflow() {
        return kernel.profile().atLeast(6, 18) ? -Errno.EOVERFLOW : -Errno.EINVAL;
    }

    // Groups.

    /**
     * Puts a group behind the domain, which the first one brings.
     *
     * @return 0; {@code -EBUSY} the address of a mapping is not known; {@code -EINVAL} it is here already, or a mapping
     *     lies where the group takes none; {@code -EPERM} without isolated MSI; {@code -ENOMEM}
     */
    synchronized int attach(IommuGroup group) {
        if (withoutAddress > 0) {
            return -Errno.EBUSY;
        }
        if (groups.contains(group)) {
            return -Errno.EINVAL;
        }
        if (!kernel.allocator().charge("type1 group") || !kernel.allocator().charge("iommu domain")) {
            return -Errno.ENOMEM;
        }
        for (IommuDevice device : group.devices()) {
            for (ReservedRegion region : device.reservedRegions()) {
                if (region.type() != ReservedRegion.Type.DIRECT_RELAXABLE && find(region.first(), region.last()) != null) {
                    return -Errno.EINVAL;
                }
            }
        }
        if (!group.devices().stream().allMatch(device -> device.driver().isolatedMsi(device))) {
            return -Errno.EPERM;
        }
        IommuDomain joined = domain;
        if (joined == null) {
            joined = kernel.iommu().newDomain();
            domain = joined;
        }
        int error = group.setDomain(joined);
        if (error == 0) {
            groups.add(group);
        } else if (groups.isEmpty()) {
            domain = null;
        }
        return error;
    }

    /** Blocks a group's DMA; with the last group all mappings go. */
    synchronized void detach(IommuGroup group) {
        group.setDomain(null);
        groups.remove(group);
        if (groups.isEmpty()) {
            List.copyOf(mappings.values()).forEach(this::remove);
            domain = null;
        }
    }

    /** What can be mapped: the aperture without what a device of any group reserves. */
    synchronized List<Range> ranges() {
        IommuDomain target = domain;
        if (target == null) {
            return List.of();
        }
        List<Range> ranges = new ArrayList<>();
        ranges.add(new Range(target.format().first(), target.format().last()));
        for (IommuGroup group : groups) {
            for (IommuDevice device : group.devices()) {
                for (ReservedRegion region : device.reservedRegions()) {
                    if (region.type() != ReservedRegion.Type.DIRECT_RELAXABLE) {
                        exclude(ranges, region.first(), region.last());
                    }
                }
            }
        }
        return ranges;
    }

    private static void exclude(List<Range> ranges, long first, long last) {
        for (int i = 0; i < ranges.size(); i++) {
            Range range = ranges.get(i);
            if (Long.compareUnsigned(first, range.last) <= 0 && Long.compareUnsigned(last, range.first) >= 0) {
                ranges.remove(i--);
                if (Long.compareUnsigned(first, range.first) > 0) {
                    ranges.add(++i, new Range(range.first, first - 1));
                }
                if (Long.compareUnsigned(last, range.last) < 0) {
                    ranges.add(++i, new Range(last + 1, range.last));
                }
            }
        }
    }

    /** The sizes of page table entries, one bit each; none without a group. */
    synchronized long pageSizes() {
        IommuDomain target = domain;
        return target == null ? 0 : target.format().pageSizes();
    }

    /** How many more mappings there can be. */
    synchronized int available() {
        return available;
    }

    // Mappings.

    /** A mapping that has a byte in [first, last], the lowest one; null when there is none. */
    private @Nullable Type1Dma find(long first, long last) {
        Map.Entry<Long, Type1Dma> below = mappings.floorEntry(first);
        if (below != null && Long.compareUnsigned(below.getValue().last(), first) >= 0) {
            return below.getValue();
        }
        Map.Entry<Long, Type1Dma> next = mappings.higherEntry(first);
        return next != null && Long.compareUnsigned(next.getKey(), last) <= 0 ? next.getValue() : null;
    }

    /**
     * VFIO_IOMMU_MAP_DMA.
     *
     * @param rights READ, WRITE or both; 0 to tell where the pages of a mapping are now
     * @return 0; {@code -EINVAL} not aligned, not in the usable ranges; {@code -EOVERFLOW}; {@code -EEXIST}; {@code -ENOENT}
     *     no mapping to tell the address of; {@code -ENOSPC} too many mappings; {@code -ENOMEM}, {@code -EFAULT}
     */
    synchronized int map(Task task, long iova, long size, long address, int rights) {
        long last = iova + size - 1;
        if (((size | iova | address) & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        Type1Dma there = find(iova, last);
        if (rights == 0) {
            return there == null ? -Errno.ENOENT : changeAddress(task, there, iova, size, address);
        }
        if (there != null) {
            return -Errno.EEXIST;
        }
        if (available == 0) {
            return -Errno.ENOSPC;
        }
        IommuDomain target = domain;
        boolean usable = ranges().stream().anyMatch(range -> Long.compareUnsigned(iova, range.first) >= 0
                && Long.compareUnsigned(last, range.last) <= 0);
        if (target == null || !usable) {
            return -Errno.EINVAL;
        }
        if (!kernel.allocator().charge("type1 mapping")) {
            return -Errno.ENOMEM;
        }
        Type1Dma dma = new Type1Dma(task, iova, size, address, rights);
        int error = pinAndMap(target, dma);
        if (error == 0 && tracking) {
            error = track(dma);
            if (error != 0) {
                release(dma);
            }
        }
        if (error == 0) {
            mappings.put(iova, dma);
            available--;
        }
        return error;
    }

    private int changeAddress(Task task, Type1Dma dma, long iova, long size, long address) {
        if (dma.iova != iova || dma.size != size) {
            return -Errno.EINVAL;
        }
        int error = dma.changeAddress(task, address);
        if (error == 0) {
            withoutAddress--;
        }
        return error;
    }

    /** Pins in batches, each charged at once, and maps what is contiguous together. All or nothing. */
    private int pinAndMap(IommuDomain target, Type1Dma dma) {
        PfnRuns pinned = new PfnRuns();
        long[] frames = new long[BATCH];
        int error = 0;
        long charged = 0;
        for (long index = 0; index < dma.pages() && error == 0; ) {
            int count = pin(dma, index, (int) Math.min(BATCH, dma.pages() - index), frames);
            if (count < 0) {
                error = count;
                break;
            }
            pinned.addAll(index, frames, count);
            // Registers are nobody's memory.
            if (!MappedBar.isRegister(frames[0])) {
                error = dma.charge(count);
                charged += error == 0 ? count : 0;
            }
            index += count;
        }
        int[] mapping = {error};
        pinned.forEach((index, pfn, pages) -> {
            if (mapping[0] == 0) {
                mapping[0] = target.map(
                        dma.iova + (index << Linux.PAGE_SHIFT),
                        pfn << Linux.PAGE_SHIFT,
                        pages << Linux.PAGE_SHIFT,
                        dma.rights,
                        true);
            }
        });
        if (mapping[0] != 0) {
            target.unmap(dma.iova, dma.size, null);
            pinned.forEach((index, pfn, pages) -> unpin(dma, pfn, pages));
            dma.uncharge(charged);
        }
        return mapping[0];
    }

    /** Pins memory, or finds one page of a device's registers; how many, or a negated errno. */
    private static int pin(Type1Dma dma, long index, int count, long[] frames) {
        long address = dma.address + (index << Linux.PAGE_SHIFT);
        int pinned = dma.mm().pin(address, count, (dma.rights & IommuDomain.WRITE) != 0, frames, 0);
        DevicePage page = pinned == -Errno.EFAULT ? dma.mm().deviceAt(address) : null;
        if (page == null || !(page.region() instanceof MappedBar bar)) {
            return pinned;
        }
        frames[0] = bar.frame(page.offset());
        return frames[0] < 0 ? pinned : 1;
    }

    private static void unpin(Type1Dma dma, long pfn, long pages) {
        if (!MappedBar.isRegister(pfn)) {
            dma.mm().unpin(pfn, pages);
        }
    }

    private void release(Type1Dma dma) {
        IommuDomain target = domain;
        if (target != null) {
            PfnRuns removed = new PfnRuns();
            target.unmap(dma.iova, dma.size, (iova, address, length) -> removed.add(
                    iova >>> Linux.PAGE_SHIFT, address >>> Linux.PAGE_SHIFT, length >>> Linux.PAGE_SHIFT));
            removed.forEach((index, pfn, pages) -> {
                unpin(dma, pfn, pages);
                dma.uncharge(MappedBar.isRegister(pfn) ? 0 : pages);
            });
        }
    }

    private void remove(Type1Dma dma) {
        release(dma);
        mappings.remove(dma.iova);
        if (dma.withoutAddress) {
            withoutAddress--;
        }
        available++;
    }

    /**
     * What an unmap wants.
     *
     * @param last the last IOVA
     * @param all everything there is
     * @param keep not to unmap, but to forget the address
     * @param bitmap where to put what devices have written; null for nowhere
     */
    record Unmap(long iova, long last, boolean all, boolean keep, @Nullable UserBitmap bitmap) {}

    /**
     * VFIO_IOMMU_UNMAP_DMA, of whole mappings only. The second version refuses a range that would cut one; the first one
     * takes out every mapping that starts in the range, unless the range starts inside of one: then it does nothing.
     *
     * @param unmapped element 0 receives how many bytes
     * @return 0; {@code -EINVAL}; {@code -EFAULT} from the bitmap, with all before unmapped
     */
    synchronized int unmap(Task task, Unmap what, long[] unmapped) {
        if (what.bitmap != null && (!tracking || !what.bitmap.ofTablePages())) {
            return -Errno.EINVAL;
        }
        if (v2 && !what.all && cuts(what.iova, what.last)) {
            return -Errno.EINVAL;
        }
        List<Type1Dma> done = new ArrayList<>();
        for (Type1Dma dma = find(what.iova, what.last); dma != null; dma = after(dma, what.last)) {
            if (!v2 && Long.compareUnsigned(what.iova, dma.iova) > 0) {
                break;
            }
            int error = 0;
            if (what.keep) {
                error = forget(dma, done);
            } else if (what.bitmap != null) {
                error = report(task, dma, what.bitmap, what.iova);
            }
            if (error != 0) {
                return error;
            }
            unmapped[0] += dma.size;
            done.add(dma);
            if (!what.keep) {
                remove(dma);
            }
        }
        return 0;
    }

    private @Nullable Type1Dma after(Type1Dma dma, long last) {
        Map.Entry<Long, Type1Dma> next = mappings.higherEntry(dma.iova);
        return next != null && Long.compareUnsigned(next.getKey(), last) <= 0 ? next.getValue() : null;
    }

    /** Whether an end of the range lies inside a mapping. */
    private boolean cuts(long first, long last) {
        Type1Dma low = find(first, first);
        Type1Dma high = find(last, last);
        return (low != null && low.iova != first) || (high != null && high.last() != last);
    }

    /** Forgets an address; when one is forgotten already, those that this call has forgotten come back. */
    private int forget(Type1Dma dma, List<Type1Dma> done) {
        if (dma.withoutAddress) {
            done.forEach(other -> other.withoutAddress = false);
            withoutAddress -= done.size();
            return -Errno.EINVAL;
        }
        dma.withoutAddress = true;
        withoutAddress++;
        return 0;
    }

    // What devices have written.

    /** Starts keeping book: 0 or {@code -ENOMEM}. */
    synchronized int startTracking() {
        if (tracking) {
            return 0;
        }
        for (Type1Dma dma : mappings.values()) {
            int error = track(dma);
            if (error != 0) {
                mappings.values().forEach(other -> other.dirty = null);
                return error;
            }
        }
        tracking = true;
        return 0;
    }

    private int track(Type1Dma dma) {
        if (dma.pages() > DirtyBitmap.MOST_PAGES) {
            return -Errno.EINVAL;
        }
        if (!kernel.allocator().charge("type1 dirty bitmap")) {
            return -Errno.ENOMEM;
        }
        dma.dirty = new DirtyBitmap(dma.pages());
        return 0;
    }

    synchronized void stopTracking() {
        tracking = false;
        mappings.values().forEach(dma -> dma.dirty = null);
    }

    /**
     * Tells what devices have written since the last time in all mappings of a range, which must not cut one.
     *
     * @param last the last IOVA
     * @return 0; {@code -EINVAL} nobody keeps book, a mapping is cut, or not aligned; {@code -EFAULT}
     */
    synchronized int readDirty(Task task, long iova, long last, UserBitmap bitmap) {
        if (!bitmap.ofTablePages() || ((iova | last + 1) & Linux.PAGE_SIZE - 1) != 0 || !tracking || cuts(iova, last)) {
            return -Errno.EINVAL;
        }
        for (Type1Dma dma = find(iova, last); dma != null; dma = after(dma, last)) {
            int error = report(task, dma, bitmap, iova);
            if (error != 0) {
                return error;
            }
        }
        return 0;
    }

    /** No device here can tell what it writes, so that is every page that is mapped. */
    private static int report(Task task, Type1Dma dma, UserBitmap bitmap, long base) {
        DirtyBitmap dirty = dma.dirty;
        if (dirty == null) {
            return -Errno.EINVAL;
        }
        dirty.setAll();
        return dirty.moveTo(task, bitmap.address(), (dma.iova - base) >>> Linux.PAGE_SHIFT);
    }
}
