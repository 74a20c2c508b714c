// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongPredicate;

/**
 * What all IOMMUs of a machine share, and the one that its real devices are behind, an Intel VT-d. A device without a
 * domain can reach nothing. Thread safe.
 */
public final class Iommu {
    private final PhysicalMemory memory;
    private final Allocator allocator;
    private final FaultLog faults = new FaultLog();
    private final DmaCounters counters = new DmaCounters();
    private final IotlbCounters iotlbCounters = new IotlbCounters();
    private final RegisterWindows registers = new RegisterWindows();
    private volatile LongPredicate privateFrames = frame -> false;
    private final AtomicInteger nextDomain = new AtomicInteger(1);
    private final VtdDriver vtd = new VtdDriver(this);
    /** By number. Guards itself. */
    private final TreeMap<Integer, IommuGroup> groups = new TreeMap<>();

    private volatile boolean invalidating = true;

    /**
     * @param memory what page table entries point into
     * @param allocator charged for every page table page
     */
    public Iommu(PhysicalMemory memory, Allocator allocator) {
        this.memory = memory;
        this.allocator = allocator;
    }

    /** A new group of the machine's own IOMMU, without devices; its number is the lowest free one, from 0. */
    public IommuGroup newGroup() {
        return newGroup(vtd);
    }

    /** A new group of another IOMMU. */
    public IommuGroup newGroup(IommuDriver driver) {
        synchronized (groups) {
            int id = 0;
            while (groups.containsKey(id)) {
                id++;
            }
            IommuGroup group = new IommuGroup(this, driver, id);
            groups.put(id, group);
            return group;
        }
    }

    /** Takes away a group whose devices are gone. */
    public void removeGroup(IommuGroup group) {
        synchronized (groups) {
            groups.remove(group.id(), group);
        }
    }

    /** All groups, by their number. */
    public List<IommuGroup> groups() {
        synchronized (groups) {
            return List.copyOf(groups.values());
        }
    }

    /** A new, empty domain of the machine's own IOMMU. */
    public IommuDomain newDomain() {
        return newDomain(vtd, PageFormat.VTD, false);
    }

    /**
     * A new, empty domain.
     *
     * @param tracksDirty whether it can tell what DMA wrote to
     */
    public IommuDomain newDomain(IommuDriver driver, PageFormat format, boolean tracksDirty) {
        return new IommuDomain(this, nextDomain.getAndIncrement(), driver, format, tracksDirty);
    }

    /** DMA that was refused. */
    public FaultLog faults() {
        return faults;
    }

    /** DMA of all devices over the machine's life. */
    public DmaCounters counters() {
        return counters;
    }

    /** What the devices' IOTLBs did over the machine's life. */
    public IotlbCounters iotlbCounters() {
        return iotlbCounters;
    }

    /** Says how to know the frames that are private guest memory, for the counters; called with no lock held. */
    public void observePrivateFrames(LongPredicate frames) {
        privateFrames = frames;
    }

    boolean isPrivate(long frame) {
        return privateFrames.test(frame);
    }

    RegisterWindows registers() {
        return registers;
    }

    /**
     * For tests only: whether an unmap invalidates the IOTLB. Off is a broken kernel, whose devices go on using
     * translations that are gone.
     */
    public void setInvalidating(boolean on) {
        invalidating = on;
    }

    boolean invalidating() {
        return invalidating;
    }

    /** What page tables point into. */
    public PhysicalMemory memory() {
        return memory;
    }

    /** Charged for whatever drivers allocate. */
    public Allocator allocator() {
        return allocator;
    }
}
