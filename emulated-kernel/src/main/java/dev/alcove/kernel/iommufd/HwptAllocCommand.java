// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.kernel.iommu.DomainOutcome;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDriver;
import dev.alcove.kernel.iommu.UserData;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** IOMMU_HWPT_ALLOC: a page table of an address space, or a nested one on another page table or of a virtual IOMMU. */
final class HwptAllocCommand {
    private static final int FAULT_ID_VALID = 4;

    private final IommufdContext context;
    private final ObjectTable objects;
    private final Command command;
    private final MemorySegment struct;
    private final int flags;

    private HwptAllocCommand(IommufdContext context, Command command) {
        this.context = context;
        this.objects = context.objects();
        this.command = command;
        this.struct = command.struct();
        this.flags = iommu_hwpt_alloc.flags(struct);
    }

    static long execute(IommufdContext context, Command command) {
        return new HwptAllocCommand(context, command).execute();
    }

    private long execute() {
        if (iommu_hwpt_alloc.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (iommu_hwpt_alloc.data_type(struct) == 0 != (iommu_hwpt_alloc.data_len(struct) == 0)) {
            return -Errno.EINVAL;
        }
        BoundDevice device = objects.get(iommu_hwpt_alloc.dev_id(struct), BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        IommufdObject parent = objects.get(iommu_hwpt_alloc.pt_id(struct), IommufdObject.class);
        try {
            return switch (parent) {
                case null -> -Errno.EINVAL;
                case Ioas ioas -> paging(device.device, ioas);
                case Hwpt hwpt -> nested(device.device, hwpt);
                case VirtualIommu viommu -> nested(device.device, viommu);
                default -> -Errno.EINVAL;
            };
        } finally {
            if (parent != null) {
                objects.put(parent);
            }
            objects.put(device);
        }
    }

    /** What the user wants of the driver; null for nothing. */
    private @Nullable UserData data() {
        return iommu_hwpt_alloc.data_len(struct) == 0
                ? null
                : new UserData(
                        command.task().memory(),
                        iommu_hwpt_alloc.data_type(struct),
                        iommu_hwpt_alloc.data_uptr(struct),
                        iommu_hwpt_alloc.data_len(struct));
    }

    private boolean has(int flag) {
        return (flags & flag) != 0;
    }

    private long paging(IommuDevice device, Ioas ioas) {
        int known = IommuDriver.NEST_PARENT | IommuDriver.DIRTY_TRACKING;
        if (context.module().profile().atLeast(6, 15)) {
            known |= FAULT_ID_VALID | IommuDriver.PASID;
        }
        if (has(~known)
                || (has(IommuDriver.DIRTY_TRACKING) && !device.driver().dirtyTracking(device))
                || (has(FAULT_ID_VALID) && has(IommuDriver.NEST_PARENT))) {
            return -Errno.EOPNOTSUPP;
        }
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        ioas.mutex.lock();
        try {
            return switch (device.driver().allocatePaging(device, flags & ~FAULT_ID_VALID, data())) {
                case DomainOutcome.Refused refused -> {
                    objects.cancel(id);
                    yield -refused.errno();
                }
                case DomainOutcome.Made made -> {
                    boolean parent = has(IommuDriver.NEST_PARENT);
                    Hwpt hwpt = new Hwpt(id, objects, ioas, made.domain(), false, has(IommuDriver.PASID), parent);
                    hwpt.join();
                    yield publish(hwpt, ioas.table.addDomain(hwpt.domain));
                }
            };
        } finally {
            ioas.mutex.unlock();
        }
    }

    private boolean nestable() {
        return !has(~(FAULT_ID_VALID | IommuDriver.PASID)) && data() != null;
    }

    private long nested(IommuDevice device, Hwpt parent) {
        UserData data = data();
        if (!nestable() || data == null) {
            return -Errno.EOPNOTSUPP;
        }
        if (!(device.driver() instanceof NestingDriver driver)) {
            // Most drivers without nesting have the operation all the same, and none of their page tables is a parent.
            return -Errno.EINVAL;
        }
        if (parent.auto || !parent.nestParent || parent.domain.driver() != driver) {
            return -Errno.EINVAL;
        }
        int id = objects.reserve();
        return id < 0
                ? id
                : nested(id, driver.allocateNested(device, parent.domain, flags & ~FAULT_ID_VALID, data), parent, null);
    }

    private long nested(IommuDevice device, VirtualIommu viommu) {
        if (viommu.owner() != device.driver()) {
            return -Errno.EINVAL;
        }
        UserData data = data();
        if (!nestable() || data == null) {
            return -Errno.EOPNOTSUPP;
        }
        int id = objects.reserve();
        return id < 0
                ? id
                : nested(id, viommu.driver().allocateNested(flags & ~FAULT_ID_VALID, data), viommu.parent(), viommu);
    }

    private long nested(int id, DriverOutcome<NestedDomain> outcome, Hwpt parent, @Nullable VirtualIommu viommu) {
        return switch (outcome) {
            case DriverOutcome.Refused<NestedDomain> refused -> {
                objects.cancel(id);
                yield -refused.errno();
            }
            case DriverOutcome.Made<NestedDomain> made -> {
                boolean pasid = has(IommuDriver.PASID);
                yield publish(new NestedHwpt(id, objects, made.object(), pasid, parent, viommu), 0);
            }
        };
    }

    private long publish(HwPageTable hwpt, long errorSoFar) {
        iommu_hwpt_alloc.out_hwpt_id(struct, hwpt.id());
        long error = errorSoFar;
        if (error == 0 && has(FAULT_ID_VALID)) {
            error = useFaultQueue(hwpt);
        }
        if (error == 0) {
            error = command.respond();
        }
        if (error != 0) {
            hwpt.destroy();
            objects.cancel(hwpt.id());
            return error;
        }
        objects.add(hwpt);
        return 0;
    }

    private long useFaultQueue(HwPageTable hwpt) {
        FaultQueue queue = objects.get(iommu_hwpt_alloc.fault_id(struct), FaultQueue.class);
        if (queue == null) {
            return -Errno.ENOENT;
        }
        hwpt.faults = queue;
        objects.use(queue, 1);
        objects.put(queue);
        return 0;
    }
}
