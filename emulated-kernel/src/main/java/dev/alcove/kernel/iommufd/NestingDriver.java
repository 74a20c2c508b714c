// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuDriver;
import dev.alcove.kernel.iommu.UserData;
import org.jspecify.annotations.Nullable;

/** A driver whose IOMMU has two stages, of which guests may have the first. Any thread may call. */
public interface NestingDriver extends IommuDriver {
    /**
     * A first stage without a virtual IOMMU ({@code domain_alloc_nested}).
     *
     * @param parent of the same driver, made with {@link #NEST_PARENT}
     * @param flags {@link #PASID} or none, and whatever else the caller found
     */
    DriverOutcome<NestedDomain> allocateNested(IommuDevice device, IommuDomain parent, int flags, UserData data);

    /** Whether there are virtual IOMMUs of a type ({@code get_viommu_size}). */
    boolean virtualizes(IommuDevice device, int type);

    /**
     * The driver's part of a new virtual IOMMU ({@code viommu_init}).
     *
     * @param core the other part, which knows its parent
     * @param data what the user wants of the driver; null for nothing special
     */
    DriverOutcome<VirtualIommuDriver> newVirtualIommu(VirtualIommu core, @Nullable UserData data);

    /**
     * Whether guests keep tables of PASIDs: a page request with a PASID that is not attached is then for the guest that
     * has the device's first stage.
     */
    boolean guestKeepsPasids();
}
