// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * What a kind of IOMMU does for the devices behind it ({@code struct iommu_ops}). A group and its devices belong to one
 * driver for life. Any thread may call; the group's monitor is held over {@link #attach}.
 */
public interface IommuDriver {
    /** Flag of {@link #allocatePaging}: the domain is to be the second stage of nested ones. */
    int NEST_PARENT = 1;

    /** Flag of {@link #allocatePaging}: DMA is to be tracked. */
    int DIRTY_TRACKING = 2;

    /** Flag of {@link #allocatePaging}: the domain is to be used with PASIDs. */
    int PASID = 8;

    /** Whether DMA snoops the caches (IOMMU_CAP_CACHE_COHERENCY). */
    boolean cacheCoherent(IommuDevice device);

    /** Whether an MSI of the device can reach only its own vectors (interrupt remapping). */
    boolean isolatedMsi(IommuDevice device);

    /** Whether the IOMMU records which pages DMA wrote (IOMMU_CAP_DIRTY_TRACKING). */
    boolean dirtyTracking(IommuDevice device);

    /** Whether the device can make page requests. */
    boolean pageRequests(IommuDevice device);

    /** The binary logarithm of the device's PASIDs, 0 when it has none. */
    int pasidBits(IommuDevice device);

    /**
     * A new, empty page table.
     *
     * @param flags {@link #NEST_PARENT}, {@link #DIRTY_TRACKING}, {@link #PASID}
     * @param data what the user wants of the driver; null for nothing special
     * @return a refusal with {@code EOPNOTSUPP} for flags or data that the driver does not know, or an errno of the data's
     */
    DomainOutcome allocatePaging(IommuDevice device, int flags, @Nullable UserData data);

    /**
     * Tells about the hardware.
     *
     * @param type what user space asks for, 0 for whatever there is
     * @return null when it has nothing of that type
     */
    @Nullable HwInfo hwInfo(IommuDevice device, int type);

    /**
     * Puts one device behind a domain of this driver, for DMA without a PASID. The group has checked that the domain is
     * of this driver; what the IOMMU must do for the translation itself is the group's affair.
     *
     * @param next null to block all DMA: that must not fail
     * @param old what the device was behind
     * @return 0 or a negated errno, with nothing changed
     */
    int attach(IommuDevice device, @Nullable Domain next, @Nullable Domain old);

    /**
     * As {@link #attach}, for the DMA that a device with PASIDs makes with one of them.
     *
     * @return {@code -EOPNOTSUPP} from a driver without PASIDs
     */
    default int attachPasid(IommuDevice device, int pasid, @Nullable Domain next, @Nullable Domain old) {
        return -Errno.EOPNOTSUPP;
    }

    /**
     * Answers a group of page requests of a device ({@code page_response}). Takes only leaf locks.
     *
     * @param group its number
     * @param code {@code IOMMU_PAGE_RESP_}: 0 it has what it asked for, 1 it shall not have it
     */
    default void respond(IommuDevice device, int pasid, int group, int code) {}

    /** How many PASIDs the device has, the one for DMA without any included; 0 when it knows nothing of them. */
    default int maxPasids(IommuDevice device) {
        return pasidBits(device) == 0 ? 0 : 1 << pasidBits(device);
    }
}
