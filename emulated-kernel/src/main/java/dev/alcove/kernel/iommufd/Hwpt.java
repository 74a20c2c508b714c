// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import org.jspecify.annotations.Nullable;

/** A page table that carries an address space; a user of it, and of the fault queue if it has one. */
final class Hwpt extends IommufdObject {
    final Ioas ioas;
    final IommuDomain domain;

    /** Whether an attach to the address space made it: goes with its last device. */
    final boolean auto;

    /** Whether it was made to be used with PASIDs. */
    final boolean pasid;

    /** Page requests of its devices go here; set before anybody finds the page table. */
    @Nullable FaultQueue faults;

    private final ObjectTable objects;

    Hwpt(int id, ObjectTable objects, Ioas ioas, IommuDomain domain, boolean auto, boolean pasid) {
        super(id);
        this.objects = objects;
        this.ioas = ioas;
        this.domain = domain;
        this.auto = auto;
        this.pasid = pasid;
    }

    /** Takes the reference that {@link #destroy} drops, and joins the address space's list. The caller holds its mutex. */
    void join() {
        objects.use(ioas, 1);
        ioas.hwpts.add(this);
    }

    @Override
    protected void destroy() {
        ioas.mutex.lock();
        try {
            ioas.hwpts.remove(this);
        } finally {
            ioas.mutex.unlock();
        }
        ioas.table.removeDomain(domain);
        objects.put(ioas);
        if (faults != null) {
            objects.put(faults);
        }
    }
}
