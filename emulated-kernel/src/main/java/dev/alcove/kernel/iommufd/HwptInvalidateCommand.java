// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** IOMMU_HWPT_INVALIDATE: what a guest wants dropped from caches. */
final class HwptInvalidateCommand {
    private static final int MOST_ENTRIES = 1 << 19;

    private HwptInvalidateCommand() {}

    static long execute(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        UserDataArray requests = new UserDataArray(
                command.task().memory(),
                iommu_hwpt_invalidate.data_type(struct),
                iommu_hwpt_invalidate.data_uptr(struct),
                iommu_hwpt_invalidate.entry_len(struct),
                iommu_hwpt_invalidate.entry_num(struct));
        long error = check(struct);
        if (error == 0) {
            error = invalidate(context, iommu_hwpt_invalidate.hwpt_id(struct), requests);
        }
        iommu_hwpt_invalidate.entry_num(struct, requests.done());
        return command.respond() != 0 ? -Errno.EFAULT : error;
    }

    private static long check(MemorySegment struct) {
        if (iommu_hwpt_invalidate.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (iommu_hwpt_invalidate.entry_num(struct) == 0) {
            return 0;
        }
        int length = iommu_hwpt_invalidate.entry_len(struct);
        boolean tooMuch = Integer.compareUnsigned(length, Linux.PAGE_SIZE) > 0
                || Integer.compareUnsigned(iommu_hwpt_invalidate.entry_num(struct), MOST_ENTRIES) > 0;
        boolean nothing = iommu_hwpt_invalidate.data_uptr(struct) == 0 || length == 0;
        return nothing || tooMuch ? -Errno.EINVAL : 0;
    }

    private static long invalidate(IommufdContext context, int id, UserDataArray requests) {
        IommufdObject object = context.objects().get(id, IommufdObject.class);
        if (object == null) {
            return -Errno.ENOENT;
        }
        try {
            return switch (object) {
                case NestedHwpt hwpt -> hwpt.domain.invalidate(requests);
                case VirtualIommu viommu -> viommu.driver().invalidate(requests);
                // Before there were virtual IOMMUs only nested page tables were looked for.
                default -> context.module().profile().atLeast(6, 13) ? -Errno.EINVAL : -Errno.ENOENT;
            };
        } finally {
            context.objects().put(object);
        }
    }
}
