// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.DomainOutcome;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.HashMap;
import java.util.Map;

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

    /** @param keepsContext whether the device keeps the context alive while it is bound */
    long bind(IommuDevice device, boolean keepsContext) {
        if (!device.driver().cacheCoherent(device)) {
            return -Errno.EINVAL;
        }
        if (!device.driver().isolatedMsi(device)) {
            return -Errno.EPERM;
        }
        int error = device.group().claimDmaOwner(context);
        if (error != 0) {
            return error;
        }
        int id = context.module().allocator().charge("iommufd group") ? objects.reserve() : -Errno.ENOMEM;
        if (id < 0) {
            device.group().releaseDmaOwner();
            return id;
        }
        BoundDevice bound = new BoundDevice(id, objects, device, group(device.group()), keepsContext);
        bound.users = 1;
        objects.add(bound);
        if (keepsContext) {
            context.get();
        }
        return id;
    }

    private synchronized AttachGroup group(IommuGroup group) {
        AttachGroup attachGroup = groups.computeIfAbsent(group, key -> new AttachGroup(key, objects));
        attachGroup.bound++;
        return attachGroup;
    }

    /** A group may come and go with its device. */
    private synchronized void release(AttachGroup group) {
        if (--group.bound == 0) {
            groups.values().remove(group);
        }
    }

    void unbind(int id) {
        BoundDevice device = objects.find(id, BoundDevice.class);
        if (device == null) {
            return;
        }
        objects.put(device);
        // A driver that leaves a PASID attached is broken: it must not keep page tables for ever.
        device.group.detachAll(device);
        objects.remove(device, false);
        if (device.keepsContext) {
            context.put();
        }
        release(device.group);
    }

    void detach(int id, int pasid) {
        BoundDevice device = objects.find(id, BoundDevice.class);
        if (device != null) {
            device.group.detach(device, pasid);
            objects.put(device);
        }
    }

    /** Attaches, or replaces. */
    private record Change(BoundDevice device, int pasid, boolean replace, AttachGroup.Left left) {
        long to(HwPageTable hwpt) {
            int error = replace
                    ? device.group.replace(device, pasid, hwpt, left)
                    : device.group.attach(device, pasid, hwpt);
            return error != 0 ? error : hwpt.id();
        }
    }

    /** @param replace whether the device is attached with this PASID already, as far as its driver knows */
    long attach(int id, int pasid, int ptId, boolean replace) {
        BoundDevice device = objects.find(id, BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        Change change = new Change(device, pasid, replace, new AttachGroup.Left());
        IommufdObject target = objects.get(ptId, IommufdObject.class);
        try {
            return switch (target) {
                case null -> -Errno.ENOENT;
                case HwPageTable hwpt -> mayAttach() ? change.to(hwpt) : -Errno.ENOMEM;
                case Ioas ioas -> mayAttach() ? attachTo(ioas, change) : -Errno.ENOMEM;
                default -> -Errno.EINVAL;
            };
        } finally {
            if (target != null) {
                objects.put(target);
            }
            device.group.release(change.left);
            objects.put(device);
        }
    }

    private boolean mayAttach() {
        return context.module().allocator().charge("iommufd attach handle");
    }

    /** On one of the address space's own page tables that fits, or on a new one. */
    private long attachTo(Ioas ioas, Change change) {
        ioas.mutex.lock();
        try {
            for (Hwpt hwpt : ioas.hwpts) {
                if (hwpt.auto && objects.get(hwpt)) {
                    long answer = change.to(hwpt);
                    objects.put(hwpt);
                    if (answer != -Errno.EINVAL) {
                        return answer;
                    }
                }
            }
            return attachToNew(ioas, change);
        } finally {
            ioas.mutex.unlock();
        }
    }

    private long attachToNew(Ioas ioas, Change change) {
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        IommuDevice device = change.device.device;
        Hwpt hwpt;
        switch (device.driver().allocatePaging(device, 0, null)) {
            case DomainOutcome.Refused refused -> {
                objects.cancel(id);
                return -refused.errno();
            }
            case DomainOutcome.Made made -> hwpt = new Hwpt(id, objects, ioas, made.domain(), true, false, false);
        }
        hwpt.join();
        long answer = fillAndAttach(hwpt, change);
        if (answer < 0) {
            hwpt.destroy();
            objects.cancel(id);
            return answer;
        }
        objects.add(hwpt);
        return id;
    }

    /** A first attach comes before the fill, as its reserved regions decide whether the areas fit; a replace after it. */
    private static long fillAndAttach(Hwpt hwpt, Change change) {
        IoPageTable table = hwpt.ioas.table;
        if (change.replace) {
            int error = table.addDomain(hwpt.domain);
            return error != 0 ? error : change.to(hwpt);
        }
        long answer = change.to(hwpt);
        if (answer < 0) {
            return answer;
        }
        int error = table.addDomain(hwpt.domain);
        if (error == 0) {
            return answer;
        }
        change.device.group.detach(change.device, change.pasid);
        return error;
    }
}
