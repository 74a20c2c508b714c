// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.HWPT_INVALIDATE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_HWPT_INVALIDATE, which is for nested page tables: here it ends at a check, and tells that it did nothing. */
@Surface("domains")
final class HwptInvalidateContractTest {
    private static MemorySegment request(IommufdClient it, long hwpt, int entries, int length, long list) {
        MemorySegment struct = it.struct(iommu_hwpt_invalidate.sizeof());
        iommu_hwpt_invalidate.hwpt_id(struct, (int) hwpt);
        iommu_hwpt_invalidate.data_uptr(struct, list);
        iommu_hwpt_invalidate.entry_len(struct, length);
        iommu_hwpt_invalidate.entry_num(struct, entries);
        return struct;
    }

    private static void refused(int errno, IommufdClient it, MemorySegment struct) {
        fails(errno, it.call(HWPT_INVALIDATE, struct));
        assertEquals(0, iommu_hwpt_invalidate.entry_num(struct), "entries handled");
    }

    @EveryKernel
    void theReservedWordComesFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = request(it, 99, 3, 0, 0);
            iommu_hwpt_invalidate.__reserved(struct, 1);
            refused(Errno.EOPNOTSUPP, it, struct);
        }
    }

    @EveryKernel
    void entriesNeedAListAndALength(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            refused(Errno.EINVAL, it, request(it, 99, 3, 16, 0));
            refused(Errno.EINVAL, it, request(it, 99, 3, 0, it.user(64).address()));
            refused(Errno.ENOENT, it, request(it, 99, 3, 16, it.user(64).address()));
            refused(Errno.ENOENT, it, request(it, 99, 0, 0, 0));
        }
    }

    @EveryKernel
    void entriesAndTheirLengthHaveLimits(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long list = it.user(64).address();
            MemorySegment struct = request(it, 99, 1, Linux.PAGE_SIZE + 1, list);
            kernel.needs(
                    "limits of IOMMU_HWPT_INVALIDATE",
                    it.call(HWPT_INVALIDATE, struct) == -Errno.ENOENT ? -Errno.ENOENT : 0);
            refused(Errno.EINVAL, it, request(it, 99, 1, Linux.PAGE_SIZE + 1, list));
            refused(Errno.ENOENT, it, request(it, 99, 1, Linux.PAGE_SIZE, list));
            refused(Errno.EINVAL, it, request(it, 99, (1 << 19) + 1, 16, list));
            refused(Errno.EINVAL, it, request(it, 99, -1, 16, list));
            refused(Errno.ENOENT, it, request(it, 99, 1 << 19, 16, list));
        }
    }

    @EveryKernel
    void onlyNestedTablesAndVirtualIommusHaveCaches(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            it.needs(IommufdClient.VIOMMU_ALLOC, "IOMMU_VIOMMU_ALLOC");
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            refused(Errno.EINVAL, it, request(it, ioas, 0, 0, 0));
            refused(Errno.EINVAL, it, request(it, id, 0, 0, 0));
            refused(Errno.EINVAL, it, request(it, ok(it.hwpt(0, id, ioas)), 0, 0, 0));
        }
    }

    @EveryKernel
    void aNumberThatCannotBeToldIsAFaultWhateverElseIsWrong(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EFAULT, it.callReadOnly(HWPT_INVALIDATE, request(it, 99, 3, 0, 0)));
            fails(Errno.EFAULT, it.callReadOnly(HWPT_INVALIDATE, request(it, 99, 0, 0, 0)));
        }
    }
}
