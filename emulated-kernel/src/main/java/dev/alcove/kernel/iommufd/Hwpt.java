// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;

/** A page table that carries an address space; a user of it, and of the fault queue if it has one. */
final class Hwpt extends HwPageTable {
    final Ioas ioas;
    final IommuDomain domain;

    /** Whether an attach to the address space made it: goes with its last device. */
    final boolean auto;

    /** Whether page tables can be kept on top of it. */
    final boolean nestParent;

    Hwpt(int id, ObjectTable objects, Ioas ioas, IommuDomain domain, boolean auto, boolean pasid, boolean nestParent) {
        super(id, objects, pasid);
        this.ioas = ioas;
        this.domain = domain;
        this.auto = auto;
        this.nestParent = nestParent;
    }

    /** Takes the reference that {@link #destroy} drops, and joins the address space's list. The caller holds its mutex. */
    void join() {
        objects.use(ioas, 1);
        ioas.hwpts.add(this);
    }

    @Override
    IommuDomain domain() {
        return domain;
    }

    @Override
    Hwpt paging() {
        return this;
    }

    @Override
    boolean automatic() {
        return auto;
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
        dropFaults();
        objects.use(ioas, -1);
    }
}
