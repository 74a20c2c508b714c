// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu.mock;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuGroup;
import java.util.List;

/** A device behind the mock IOMMU, alone in its group. It has no requester id and makes no DMA. */
public final class MockDevice extends IommuDevice {
    /** Flag: the IOMMU cannot tell what the device wrote to. */
    public static final int NO_DIRTY = 1;

    /** Flag: the device has PASIDs. */
    public static final int PASID = 1 << 2;

    private static final int NO_REQUESTER = -1;

    private final int flags;

    MockDevice(IommuGroup group, int flags) {
        super(group, NO_REQUESTER, List.of());
        this.flags = flags;
    }

    boolean has(int flag) {
        return (flags & flag) != 0;
    }
}
