// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * A page table that a guest keeps on top of another one: a user of that one, or of the virtual IOMMU that it was made
 * for, which is a user of that one.
 */
final class NestedHwpt extends HwPageTable {
    final NestedDomain domain;
    private final Hwpt parent;
    private final @Nullable VirtualIommu viommu;

    /** Takes the use that {@link #destroy} drops. */
    NestedHwpt(int id, ObjectTable objects, NestedDomain domain, boolean pasid, Hwpt parent, @Nullable VirtualIommu viommu) {
        super(id, objects, pasid);
        this.domain = domain;
        this.parent = parent;
        this.viommu = viommu;
        objects.use(used(), 1);
    }

    private IommufdObject used() {
        return viommu != null ? viommu : parent;
    }

    @Override
    NestedDomain domain() {
        return domain;
    }

    @Override
    Hwpt paging() {
        return parent;
    }

    @Override
    protected void destroy() {
        dropFaults();
        objects.use(used(), -1);
    }
}
