// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A device that a driver gave to the context. The driver is its user until it unbinds. */
final class BoundDevice extends IommufdObject {
    final IommuDevice device;
    final AttachGroup group;

    /** Whether the device keeps the context alive. */
    final boolean keepsContext;

    /** The device as a guest knows it; guarded by the group's monitor. */
    @Nullable VirtualDevice virtual;

    /** Whether there are to be no more virtual devices of it; guarded by the group's monitor. */
    boolean going;

    /** Page requests whose groups are not complete; guarded by the group's monitor. */
    final List<PageRequest> partial = new ArrayList<>();

    private final ObjectTable objects;

    BoundDevice(int id, ObjectTable objects, IommuDevice device, AttachGroup group, boolean keepsContext) {
        super(id);
        this.objects = objects;
        this.device = device;
        this.group = group;
        this.keepsContext = keepsContext;
    }

    /** The virtual device goes, and its id stays taken: the user of that id did not ask for it. */
    @Override
    void unplug() {
        VirtualDevice leaving;
        synchronized (group) {
            going = true;
            leaving = virtual;
            if (leaving == null || !objects.tryUse(leaving)) {
                // None, or one that is being destroyed: it ends its use of the device when that is done.
                return;
            }
        }
        objects.remove(leaving, true);
    }

    @Override
    protected void destroy() {
        device.group().releaseDmaOwner();
    }
}
