// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_vdevice_alloc;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import dev.alcove.kernel.iommu.UserData;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** The ioctls that make virtual IOMMUs and the devices behind them. */
final class VirtualIommuCommands {
    private VirtualIommuCommands() {}

    static long viommuAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int type = iommu_viommu_alloc.type(struct);
        if (iommu_viommu_alloc.flags(struct) != 0 || type == 0) {
            return -Errno.EOPNOTSUPP;
        }
        ObjectTable objects = context.objects();
        BoundDevice device = objects.get(iommu_viommu_alloc.dev_id(struct), BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        try {
            if (!(device.device.driver() instanceof NestingDriver driver) || !driver.virtualizes(device.device, type)) {
                return -Errno.EOPNOTSUPP;
            }
            Hwpt parent = objects.get(iommu_viommu_alloc.hwpt_id(struct), Hwpt.class);
            if (parent == null) {
                return -Errno.ENOENT;
            }
            try {
                return parent.nestParent ? viommuAlloc(context, command, driver, parent) : -Errno.EINVAL;
            } finally {
                objects.put(parent);
            }
        } finally {
            objects.put(device);
        }
    }

    private static long viommuAlloc(IommufdContext context, Command command, NestingDriver driver, Hwpt parent) {
        MemorySegment struct = command.struct();
        ObjectTable objects = context.objects();
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        int type = iommu_viommu_alloc.type(struct);
        int length = iommu_viommu_alloc.data_len(struct);
        UserData data = length == 0
                ? null
                : new UserData(command.task().memory(), type, iommu_viommu_alloc.data_uptr(struct), length);
        VirtualIommu viommu = new VirtualIommu(id, context, driver, type, parent);
        long error =
                switch (driver.newVirtualIommu(viommu, data)) {
                    case DriverOutcome.Refused<VirtualIommuDriver> refused -> -refused.errno();
                    case DriverOutcome.Made<VirtualIommuDriver> made -> {
                        viommu.accept(made.object());
                        iommu_viommu_alloc.out_viommu_id(struct, id);
                        yield command.respond();
                    }
                };
        if (error != 0) {
            viommu.destroy();
            objects.cancel(id);
            return error;
        }
        objects.add(viommu);
        return 0;
    }

    static long vdeviceAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        ObjectTable objects = context.objects();
        VirtualIommu viommu = objects.get(iommu_vdevice_alloc.viommu_id(struct), VirtualIommu.class);
        if (viommu == null) {
            return -Errno.ENOENT;
        }
        try {
            BoundDevice device = objects.get(iommu_vdevice_alloc.dev_id(struct), BoundDevice.class);
            if (device == null) {
                return -Errno.ENOENT;
            }
            long error = -Errno.EINVAL;
            if (viommu.owner() == device.device.driver()) {
                synchronized (device.group) {
                    error = vdeviceAlloc(objects, command, viommu, device);
                }
            }
            if (error != 0) {
                // Else the virtual device has this use of the device from now on.
                objects.put(device);
            }
            return error;
        } finally {
            objects.put(viommu);
        }
    }

    private static long vdeviceAlloc(ObjectTable objects, Command command, VirtualIommu viommu, BoundDevice device) {
        if (device.going) {
            return -Errno.ENOENT;
        }
        if (device.virtual != null) {
            return -Errno.EEXIST;
        }
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        MemorySegment struct = command.struct();
        VirtualDevice virtual =
                new VirtualDevice(id, objects, viommu, device, iommu_vdevice_alloc.virt_id(struct));
        device.virtual = virtual;
        iommu_vdevice_alloc.out_vdevice_id(struct, id);
        long error = virtual.join();
        if (error == 0) {
            error = command.respond();
        }
        if (error != 0) {
            virtual.leave();
            objects.cancel(id);
            return error;
        }
        objects.add(virtual);
        return 0;
    }
}
