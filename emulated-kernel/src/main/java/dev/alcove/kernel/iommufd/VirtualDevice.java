// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.sys.Errno;

/**
 * A device as the guest of a virtual IOMMU knows it: a user of that, and a brief one of the device, whose end is its end
 * too.
 */
final class VirtualDevice extends IommufdObject {
    private final ObjectTable objects;
    private final VirtualIommu viommu;
    private final BoundDevice bound;
    private final long virtualId;
    private volatile boolean accepted;

    /**
     * Takes a use of the virtual IOMMU, and becomes the device's virtual device; the caller holds the group's monitor, and
     * leaves it the brief use that it has of the device.
     */
    VirtualDevice(int id, ObjectTable objects, VirtualIommu viommu, BoundDevice bound, long virtualId) {
        super(id);
        this.objects = objects;
        this.viommu = viommu;
        this.bound = bound;
        this.virtualId = virtualId;
        objects.use(viommu, 1);
    }

    IommuDevice device() {
        return bound.device;
    }

    long virtualId() {
        return virtualId;
    }

    /** Whether the driver knows it. */
    boolean accepted() {
        return accepted;
    }

    /** Takes its number and tells the driver: 0; {@code -EEXIST} the number is another one's; what the driver answers. */
    int join() {
        if (!viommu.add(this)) {
            return -Errno.EEXIST;
        }
        int error = viommu.driver().addDevice(bound.device, virtualId);
        accepted = error == 0;
        return error;
    }

    /** Undoes everything but the brief use of the device; the caller holds the group's monitor. */
    void leave() {
        if (accepted) {
            viommu.driver().removeDevice(bound.device, virtualId);
        }
        viommu.forget(this);
        objects.use(viommu, -1);
        bound.virtual = null;
    }

    @Override
    protected void destroy() {
        synchronized (bound.group) {
            leave();
        }
        objects.put(bound);
    }
}
