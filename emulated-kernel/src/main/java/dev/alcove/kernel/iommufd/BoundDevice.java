// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;

/** A device that a driver gave to the context. The driver is its user until it unbinds. */
final class BoundDevice extends IommufdObject {
    final IommuDevice device;
    final AttachGroup group;

    BoundDevice(int id, IommuDevice device, AttachGroup group) {
        super(id);
        this.device = device;
        this.group = group;
    }

    @Override
    void destroy() {
        device.group().releaseDmaOwner();
    }
}
