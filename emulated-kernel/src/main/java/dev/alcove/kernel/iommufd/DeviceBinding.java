// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The devices of a context and what they are attached to. Lock: the monitor, for the map of groups only.
 */
final class DeviceBinding {
    private final IommufdContext context;
    private final ObjectTable objects;
    private final Map<IommuGroup, AttachGroup> groups = new HashMap<>();

    DeviceBinding(IommufdContext context) {
        this.context = context;
        this.objects = context.objects();
    }

    long bind(IommuDevice device) {
        if (!device.cacheCoherent()) {
            return -Errno.EINVAL;
        }
        if (!device.isolatedMsi()) {
            return -Errno.EPERM;
        }
        int error = device.group().claimDmaOwner(context);
        if (error != 0) {
            return error;
        }
        int id = objects.reserve();
        if (id < 0) {
            device.group().releaseDmaOwner();
            return id;
        }
        BoundDevice bound = new BoundDevice(id, device, group(device.group()));
        bound.users = 1;
        objects.add(bound);
        context.get();
        return id;
    }

    private synchronized AttachGroup group(IommuGroup group) {
        return groups.computeIfAbsent(group, key -> new AttachGroup(key, objects));
    }

    void unbind(int id) {
        BoundDevice device = objects.get(id, BoundDevice.class);
        if (device == null) {
            return;
        }
        device.group.detach(device);
        objects.putAndTryDestroy(device, 2);
        context.put();
    }

    void detach(int id) {
        BoundDevice device = objects.get(id, BoundDevice.class);
        if (device != null) {
            device.group.detach(device);
            objects.put(device);
        }
    }

    long attach(int id, int ptId, boolean replace) {
        BoundDevice device = objects.get(id, BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        AttachGroup.Left left = new AttachGroup.Left();
        IommufdObject target = objects.get(ptId, IommufdObject.class);
        try {
            return switch (target) {
                case null -> -Errno.ENOENT;
                case Hwpt hwpt -> attachTo(device, hwpt, replace, left);
                case Ioas ioas -> attachTo(device, ioas, replace, left);
                case BoundDevice other -> -Errno.EINVAL;
                case FaultQueue other -> -Errno.EINVAL;
            };
        } finally {
            if (target != null) {
                objects.put(target);
            }
            device.group.release(left);
            objects.put(device);
        }
    }

    private static long attachTo(BoundDevice device, Hwpt hwpt, boolean replace, AttachGroup.Left left) {
        int error = replace ? device.group.replace(device, hwpt, left) : device.group.attach(device, hwpt);
        return error != 0 ? error : hwpt.id();
    }

    /** On one of the address space's own page tables that fits, or on a new one. */
    private long attachTo(BoundDevice device, Ioas ioas, boolean replace, AttachGroup.Left left) {
        ioas.mutex.lock();
        try {
            for (Hwpt hwpt : ioas.hwpts) {
                if (hwpt.auto && objects.get(hwpt)) {
                    long answer = attachTo(device, hwpt, replace, left);
                    objects.put(hwpt);
                    if (answer != -Errno.EINVAL) {
                        return answer;
                    }
                }
            }
            return attachToNew(device, ioas, replace, left);
        } finally {
            ioas.mutex.unlock();
        }
    }

    private long attachToNew(BoundDevice device, Ioas ioas, boolean replace, AttachGroup.Left left) {
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        Hwpt hwpt = allocate(id, ioas, true, null);
        if (hwpt == null) {
            objects.cancel(id);
            return -Errno.ENOMEM;
        }
        int error = fillAndAttach(device, hwpt, replace, left);
        if (error != 0) {
            hwpt.destroy();
            objects.cancel(id);
            return error;
        }
        objects.add(hwpt);
        return id;
    }

    /** A first attach comes before the fill, as its reserved regions decide whether the areas fit; a replace after it. */
    private static int fillAndAttach(BoundDevice device, Hwpt hwpt, boolean replace, AttachGroup.Left left) {
        if (replace) {
            int error = hwpt.ioas.table.addDomain(hwpt.domain);
            return error != 0 ? error : device.group.replace(device, hwpt, left);
        }
        int error = device.group.attach(device, hwpt);
        if (error == 0) {
            error = hwpt.ioas.table.addDomain(hwpt.domain);
            if (error != 0) {
                device.group.detach(device);
            }
        }
        return error;
    }

    /**
     * A page table for an address space, listed there, not yet filled nor visible. The caller holds the address space's
     * mutex and a reserved id.
     *
     * @return null when there is no memory
     */
    @Nullable Hwpt allocate(int id, Ioas ioas, boolean auto, @Nullable FaultQueue faults) {
        if (!context.module().allocator().charge("iommu domain")) {
            return null;
        }
        IommuDomain domain = context.module().iommu().newDomain();
        Hwpt hwpt = new Hwpt(id, objects, ioas, domain, auto, faults);
        hwpt.join();
        return hwpt;
    }
}
