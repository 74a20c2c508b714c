// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import java.util.ArrayList;
import java.util.List;

/**
 * Devices that one reset of a slot or bus affects together ({@code struct vfio_device_set}); a device of the root bus is
 * alone.
 *
 * <p>Its monitor is the lock of whether and how its devices are open. It is taken below the monitor of a {@link VfioGroup},
 * above the locks of iommufd, of a container and of a function.
 */
final class VfioDeviceSet {
    private final boolean resettable;
    private final List<VfioDevice> devices = new ArrayList<>();

    /** @param resettable whether there is a bridge above them that can reset its bus */
    VfioDeviceSet(boolean resettable) {
        this.resettable = resettable;
    }

    boolean resettable() {
        return resettable;
    }

    synchronized void add(VfioDevice device) {
        devices.add(device);
    }

    /** The devices; the caller holds the monitor as long as it matters what they are. */
    synchronized List<VfioDevice> devices() {
        return List.copyOf(devices);
    }

    /**
     * Resets the bus; the caller holds the monitor. Nobody has the devices' registers meanwhile. The kernel saves and
     * restores their configuration.
     */
    void reset() {
        devices.forEach(VfioDevice::reset);
    }

    /** A device was closed: when no other is open, their bus is reset, as none of them can be reset alone. */
    synchronized void closed() {
        if (resettable && devices.stream().allMatch(device -> device.enabled() == null)) {
            reset();
        }
    }
}
