// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import org.jspecify.annotations.Nullable;

/** What a device can be put behind ({@code struct iommu_domain}). */
public interface Domain {
    /** Who made it. Only devices of this driver can be put behind it. */
    IommuDriver driver();

    /** The page table that DMA goes through at last; null when no DMA gets through. */
    @Nullable IommuDomain paging();
}
