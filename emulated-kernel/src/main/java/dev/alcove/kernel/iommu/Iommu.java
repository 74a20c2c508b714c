// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The one IOMMU of a machine, as Intel VT-d behaves: every device is behind it, and a device without a domain can reach
 * nothing. Thread safe.
 */
public final class Iommu {
    /**
     * VT-d's capability register: 2^16 domain ids, caching mode, tables of three and of four levels, 48 bits, 2 MiB and
     * 1 GiB pages, fault registers at 0x220, page selective invalidation, draining.
     */
    public static final long CAPABILITIES =
            6 | 1L << 7 | 6L << 8 | 47L << 16 | 0x22L << 24 | 3L << 34 | 1L << 39 | 0x12L << 48 | 3L << 54;

    /** VT-d's extended capability register: queued invalidation, interrupt remapping, pass-through, snoop control. */
    public static final long EXTENDED_CAPABILITIES = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 | 0xf << 8 | 0xf << 20;

    private final PhysicalMemory memory;
    private final Allocator allocator;
    private final FaultLog faults = new FaultLog();
    private final DmaCounters counters = new DmaCounters();
    private final AtomicInteger nextDomain = new AtomicInteger(1);
    private final List<IommuGroup> groups = new ArrayList<>();
    private volatile boolean invalidating = true;

    /**
     * @param memory what page table entries point into
     * @param allocator charged for every page table page
     */
    public Iommu(PhysicalMemory memory, Allocator allocator) {
        this.memory = memory;
        this.allocator = allocator;
    }

    /** A new group without devices; its number is the next free one, from 0. */
    public IommuGroup newGroup() {
        synchronized (groups) {
            IommuGroup group = new IommuGroup(this, groups.size());
            groups.add(group);
            return group;
        }
    }

    /** All groups, by their number. */
    public List<IommuGroup> groups() {
        synchronized (groups) {
            return List.copyOf(groups);
        }
    }

    /** A new, empty domain. */
    public IommuDomain newDomain() {
        return new IommuDomain(this, nextDomain.getAndIncrement());
    }

    /** DMA that was refused. */
    public FaultLog faults() {
        return faults;
    }

    /** DMA of all devices over the machine's life. */
    public DmaCounters counters() {
        return counters;
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

    PhysicalMemory memory() {
        return memory;
    }

    Allocator allocator() {
        return allocator;
    }
}
