// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/**
 * A page that a device asks for ({@code struct iommu_fault_page_request}).
 *
 * @param pasid of the DMA, when {@link #PASID_VALID}
 * @param group number that the requests of a group, and the response, have in common
 * @param permissions {@code IOMMU_PGFAULT_PERM_}
 * @param address IOVA
 */
public record PageRequest(int flags, int pasid, int group, int permissions, long address) {
    /** The request is of DMA with a PASID. */
    public static final int PASID_VALID = 1;

    /** The last request of its group. */
    public static final int LAST_PAGE = 2;

    boolean last() {
        return (flags & LAST_PAGE) != 0;
    }
}
