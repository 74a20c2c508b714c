// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.iommufd.iommu_hw_info;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.kernel.iommu.DomainOutcome;
import dev.alcove.kernel.iommu.HwInfo;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.UserData;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** The ioctls on page tables, devices and fault queues. */
final class HwptCommands {
    private static final int NEST_PARENT = 1;
    private static final int DIRTY_TRACKING = 2;
    private static final int FAULT_ID_VALID = 4;
    private static final int PASID = 8;

    private static final int HW_INFO_FLAG_INPUT_TYPE = 1;
    private static final int ATS_NOT_SUPPORTED = 8;

    private static final int MAX_INVALIDATE_ENTRIES = 1 << 19;

    private HwptCommands() {}

    static long alloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        ObjectTable objects = context.objects();
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
                case Ioas ioas -> allocPaging(context, command, device, ioas);
                case Hwpt hwpt -> allocNested(struct);
                default -> -Errno.EINVAL;
            };
        } finally {
            if (parent != null) {
                objects.put(parent);
            }
            objects.put(device);
        }
    }

    /** No page table here can be a parent, so nesting always ends at the first check that looks at it. */
    private static long allocNested(MemorySegment struct) {
        boolean unknown = (iommu_hwpt_alloc.flags(struct) & ~(FAULT_ID_VALID | PASID)) != 0;
        return unknown || iommu_hwpt_alloc.data_len(struct) == 0 ? -Errno.EOPNOTSUPP : -Errno.EINVAL;
    }

    private static long allocPaging(IommufdContext context, Command command, BoundDevice device, Ioas ioas) {
        MemorySegment struct = command.struct();
        int flags = iommu_hwpt_alloc.flags(struct);
        int known = NEST_PARENT | DIRTY_TRACKING;
        if (context.module().profile().atLeast(6, 15)) {
            known |= FAULT_ID_VALID | PASID;
        }
        IommuDevice behind = device.device;
        if ((flags & ~known) != 0
                || ((flags & DIRTY_TRACKING) != 0 && !behind.driver().dirtyTracking(behind))
                || ((flags & FAULT_ID_VALID) != 0 && (flags & NEST_PARENT) != 0)) {
            return -Errno.EOPNOTSUPP;
        }
        UserData data = iommu_hwpt_alloc.data_len(struct) == 0
                ? null
                : new UserData(
                        command.task().memory(),
                        iommu_hwpt_alloc.data_type(struct),
                        iommu_hwpt_alloc.data_uptr(struct),
                        iommu_hwpt_alloc.data_len(struct));
        ObjectTable objects = context.objects();
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        ioas.mutex.lock();
        try {
            Hwpt hwpt;
            switch (behind.driver().allocatePaging(behind, flags & ~FAULT_ID_VALID, data)) {
                case DomainOutcome.Refused refused -> {
                    objects.cancel(id);
                    return -refused.errno();
                }
                case DomainOutcome.Made made ->
                    hwpt = new Hwpt(id, objects, ioas, made.domain(), false, (flags & PASID) != 0);
            }
            hwpt.join();
            iommu_hwpt_alloc.out_hwpt_id(struct, id);
            long error = ioas.table.addDomain(hwpt.domain);
            if (error == 0 && (flags & FAULT_ID_VALID) != 0) {
                error = useFaultQueue(objects, hwpt, iommu_hwpt_alloc.fault_id(struct));
            }
            if (error == 0) {
                error = command.respond();
            }
            if (error != 0) {
                hwpt.destroy();
                objects.cancel(id);
                return error;
            }
            objects.add(hwpt);
            return 0;
        } finally {
            ioas.mutex.unlock();
        }
    }

    private static long useFaultQueue(ObjectTable objects, Hwpt hwpt, int id) {
        FaultQueue faults = objects.get(id, FaultQueue.class);
        if (faults == null) {
            return -Errno.ENOENT;
        }
        // The page table takes over the use that the look-up made.
        hwpt.faults = faults;
        return 0;
    }

    static long hwInfo(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_hw_info.flags(struct);
        int known = context.module().profile().atLeast(6, 17) ? HW_INFO_FLAG_INPUT_TYPE : 0;
        MemorySegment reserved = iommu_hw_info.__reserved(struct);
        if ((flags & ~known) != 0 || reserved.mismatch(Command.zeroes(reserved.byteSize())) >= 0) {
            return -Errno.EOPNOTSUPP;
        }
        int type = (flags & HW_INFO_FLAG_INPUT_TYPE) != 0 ? iommu_hw_info.in_data_type(struct) : 0;
        BoundDevice device = context.objects().get(iommu_hw_info.dev_id(struct), BoundDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        HwInfo info = device.device.driver().hwInfo(device.device, type);
        int pasidBits = device.device.driver().pasidBits(device.device);
        context.objects().put(device);
        if (info == null) {
            return -Errno.EOPNOTSUPP;
        }
        long error = copyData(command, iommu_hw_info.data_uptr(struct), iommu_hw_info.data_len(struct), info.data());
        if (error != 0) {
            return error;
        }
        iommu_hw_info.data_len(struct, (int) info.data().byteSize());
        iommu_hw_info.out_data_type(struct, info.type());
        iommu_hw_info.out_max_pasid_log2(struct, (byte) pasidBits);
        iommu_hw_info.out_capabilities(struct, context.module().profile().atLeast(7, 0) ? ATS_NOT_SUPPORTED : 0);
        return command.respond();
    }

    /** As much as the caller has room for; the rest of the caller's buffer is zeroed. */
    private static long copyData(Command command, long address, int room, MemorySegment data) {
        long left = Integer.toUnsignedLong(room);
        long part = Math.min(left, data.byteSize());
        int error = command.task().memory().copyOut(address, data.asSlice(0, part));
        MemorySegment zeroes = Command.zeroes(Linux.PAGE_SIZE);
        for (long at = part; error == 0 && at < left; at += zeroes.byteSize()) {
            long piece = Math.min(zeroes.byteSize(), left - at);
            error = command.task().memory().copyOut(address + at, zeroes.asSlice(0, piece));
        }
        return error;
    }

    static long setDirtyTracking(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if ((iommu_hwpt_set_dirty_tracking.flags(struct) & ~1) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onHwpt(context, iommu_hwpt_set_dirty_tracking.hwpt_id(struct), hwpt -> -Errno.EOPNOTSUPP);
    }

    static long getDirtyBitmap(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if ((iommu_hwpt_get_dirty_bitmap.flags(struct) & ~1) != 0
                || iommu_hwpt_get_dirty_bitmap.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onHwpt(context, iommu_hwpt_get_dirty_bitmap.hwpt_id(struct), hwpt -> {
            long iova = iommu_hwpt_get_dirty_bitmap.iova(struct);
            long end = iova + iommu_hwpt_get_dirty_bitmap.length(struct);
            long page = iommu_hwpt_get_dirty_bitmap.page_size(struct);
            if (end == iova && !context.module().profile().atLeast(7, 0)) {
                return -Errno.EINVAL;
            }
            if (Long.compareUnsigned(end - 1, iova) < 0) {
                return -Errno.EOVERFLOW;
            }
            if (page == 0 || ((iova | end) & (hwpt.ioas.table.alignment() - 1 | page - 1)) != 0) {
                return -Errno.EINVAL;
            }
            return -Errno.EOPNOTSUPP;
        });
    }

    static long invalidate(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        long error = checkInvalidate(context, struct);
        iommu_hwpt_invalidate.entry_num(struct, 0);
        return command.respond() != 0 ? -Errno.EFAULT : error;
    }

    /** No object here has caches that a user may invalidate, so there is always an errno. */
    private static long checkInvalidate(IommufdContext context, MemorySegment struct) {
        if (iommu_hwpt_invalidate.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        long entries = Integer.toUnsignedLong(iommu_hwpt_invalidate.entry_num(struct));
        long length = Integer.toUnsignedLong(iommu_hwpt_invalidate.entry_len(struct));
        if (entries > 0
                && (iommu_hwpt_invalidate.data_uptr(struct) == 0
                        || length == 0
                        || length > Linux.PAGE_SIZE
                        || entries > MAX_INVALIDATE_ENTRIES)) {
            return -Errno.EINVAL;
        }
        IommufdObject object = context.objects().get(iommu_hwpt_invalidate.hwpt_id(struct), IommufdObject.class);
        if (object == null) {
            return -Errno.ENOENT;
        }
        context.objects().put(object);
        // Before there were virtual IOMMUs only nested page tables were looked for.
        return context.module().profile().atLeast(6, 13) ? -Errno.EINVAL : -Errno.ENOENT;
    }

    static long faultQueueAlloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_fault_alloc.flags(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        ObjectTable objects = context.objects();
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        FaultQueue queue = new FaultQueue(id, objects);
        objects.add(queue);
        int fd = command.task().install(queue.open(context), true);
        if (fd < 0) {
            objects.destroy(id);
            return fd;
        }
        iommu_fault_alloc.out_fault_id(struct, id);
        iommu_fault_alloc.out_fault_fd(struct, fd);
        long error = command.respond();
        if (error != 0) {
            command.task().uninstall(fd);
            objects.destroy(id);
        }
        return error;
    }

    private interface HwptWork {
        long on(Hwpt hwpt);
    }

    private static long onHwpt(IommufdContext context, int id, HwptWork work) {
        Hwpt hwpt = context.objects().get(id, Hwpt.class);
        if (hwpt == null) {
            return -Errno.ENOENT;
        }
        try {
            return work.on(hwpt);
        } finally {
            context.objects().put(hwpt);
        }
    }
}
