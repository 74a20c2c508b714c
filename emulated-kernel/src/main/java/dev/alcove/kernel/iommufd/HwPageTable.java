// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.Domain;
import org.jspecify.annotations.Nullable;

/** What a device can be attached to: a page table of the hardware, or one that a guest keeps on top of it. */
abstract sealed class HwPageTable extends IommufdObject permits Hwpt, NestedHwpt {
    /** Whether it was made to be used with PASIDs. */
    final boolean pasid;

    /** Page requests of its devices go here; set before anybody finds the page table, which is a user of it. */
    @Nullable FaultQueue faults;

    final ObjectTable objects;

    HwPageTable(int id, ObjectTable objects, boolean pasid) {
        super(id);
        this.objects = objects;
        this.pasid = pasid;
    }

    /** What the IOMMU is given. */
    abstract Domain domain();

    /** The page table that DMA goes through at last; its address space is where reserved regions of devices go. */
    abstract Hwpt paging();

    /** Whether it goes with its last device. */
    boolean automatic() {
        return false;
    }

    /** Drops the use of the fault queue. */
    final void dropFaults() {
        FaultQueue queue = faults;
        if (queue != null) {
            objects.use(queue, -1);
        }
    }
}
