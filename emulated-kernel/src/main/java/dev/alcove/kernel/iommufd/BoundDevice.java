// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;

/** A device that a driver gave to the context. The driver is its user until it unbinds. */
final class BoundDevice extends IommufdObject {
    final IommuDevice device;
    final AttachGroup group;

    /** Whether the device keeps the context alive. */
    final boolean keepsContext;

    BoundDevice(int id, IommuDevice device, AttachGroup group, boolean keepsContext) {
        super(id);
        this.device = device;
        this.group = group;
        this.keepsContext = keepsContext;
    }

    @Override
    protected void destroy() {
        device.group().releaseDmaOwner();
    }
}
