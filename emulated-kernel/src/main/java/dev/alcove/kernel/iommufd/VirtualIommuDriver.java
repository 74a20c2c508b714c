// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.UserData;
import dev.alcove.sys.Errno;

/** A driver's part of a virtual IOMMU ({@code struct iommufd_viommu_ops}). What it lacks is refused. */
public interface VirtualIommuDriver {
    /** A first stage of this virtual IOMMU; the flags as in {@link NestingDriver#allocateNested}. */
    default DriverOutcome<NestedDomain> allocateNested(int flags, UserData data) {
        return new DriverOutcome.Refused<>(Errno.EOPNOTSUPP);
    }

    /** Drops from the caches of the devices what a guest says; as {@link NestedDomain#invalidate}. */
    default int invalidate(UserDataArray requests) {
        return -Errno.EOPNOTSUPP;
    }

    /**
     * Accepts a device as one of the guest's; its number is taken already, but leads nowhere yet.
     *
     * @return 0 or a negated errno
     */
    default int addDevice(IommuDevice device, long virtualId) {
        return 0;
    }

    /** Undoes {@link #addDevice}. */
    default void removeDevice(IommuDevice device, long virtualId) {}

    /** Whether there are hardware queues of a type. */
    default boolean queues(int type) {
        return false;
    }

    /**
     * Gives the hardware a queue in the guest's memory, which is pinned.
     *
     * @param index which one of the virtual IOMMU's
     * @param address where it begins, for the hardware
     */
    default DriverOutcome<HwQueueDriver> newQueue(HwQueue core, int index, long address) {
        return new DriverOutcome.Refused<>(Errno.EOPNOTSUPP);
    }

    /** The end of the virtual IOMMU: nothing uses it any more. */
    default void destroy() {}
}
