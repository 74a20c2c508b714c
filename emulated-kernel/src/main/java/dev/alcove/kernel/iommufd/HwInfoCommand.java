// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hw_info;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.HwInfo;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** IOMMU_GET_HW_INFO: what a device's driver tells about its IOMMU. */
final class HwInfoCommand {
    private static final int FLAG_INPUT_TYPE = 1;
    private static final int DIRTY_TRACKING = 1;
    private static final int ATS_NOT_SUPPORTED = 8;

    private HwInfoCommand() {}

    static long execute(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        KernelProfile profile = context.module().profile();
        int flags = iommu_hw_info.flags(struct);
        int known = profile.atLeast(6, 17) ? FLAG_INPUT_TYPE : 0;
        MemorySegment reserved = iommu_hw_info.__reserved(struct);
        if ((flags & ~known) != 0 || reserved.mismatch(Command.zeroes(reserved.byteSize())) >= 0) {
            return -Errno.EOPNOTSUPP;
        }
        int type = (flags & FLAG_INPUT_TYPE) != 0 ? iommu_hw_info.in_data_type(struct) : 0;
        BoundDevice bound = context.objects().get(iommu_hw_info.dev_id(struct), BoundDevice.class);
        if (bound == null) {
            return -Errno.ENOENT;
        }
        try {
            if (!context.module().allocator().charge("hardware information")) {
                return -Errno.ENOMEM;
            }
            IommuDevice device = bound.device;
            HwInfo info = device.driver().hwInfo(device, type);
            if (info == null) {
                return -Errno.EOPNOTSUPP;
            }
            long error = copyData(command, info.data());
            if (error != 0) {
                return error;
            }
            int capabilities = device.driver().dirtyTracking(device) ? DIRTY_TRACKING : 0;
            iommu_hw_info.data_len(struct, (int) info.data().byteSize());
            iommu_hw_info.out_data_type(struct, info.type());
            iommu_hw_info.out_max_pasid_log2(struct, (byte) device.driver().pasidBits(device));
            iommu_hw_info.out_capabilities(struct, capabilities | (profile.atLeast(7, 0) ? ATS_NOT_SUPPORTED : 0));
            return command.respond();
        } finally {
            context.objects().put(bound);
        }
    }

    /** As much as the caller has room for; the rest of the caller's buffer is zeroed. */
    private static long copyData(Command command, MemorySegment data) {
        long address = iommu_hw_info.data_uptr(command.struct());
        long left = Integer.toUnsignedLong(iommu_hw_info.data_len(command.struct()));
        long part = Math.min(left, data.byteSize());
        int error = command.task().memory().copyOut(address, data.asSlice(0, part));
        MemorySegment zeroes = Command.zeroes(Linux.PAGE_SIZE);
        for (long at = part; error == 0 && at < left; at += zeroes.byteSize()) {
            long piece = Math.min(zeroes.byteSize(), left - at);
            error = command.task().memory().copyOut(address + at, zeroes.asSlice(0, piece));
        }
        return error;
    }
}
