// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.bindings.iommufd.iommu_vdevice_alloc;
import dev.alcove.bindings.iommufd.iommu_veventq_alloc;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.HW_QUEUE_ALLOC;
import static dev.alcove.contract.IommufdClient.VDEVICE_ALLOC;
import static dev.alcove.contract.IommufdClient.VEVENTQ_ALLOC;
import static dev.alcove.contract.IommufdClient.VIOMMU_ALLOC;

/** Virtual IOMMUs and what belongs to them, on a machine whose IOMMU has none: each ends at its first check that looks. */
@Surface("domains")
final class VirtualIommuContractTest {
    private static final int SOME_TYPE = 0x7777;

    private static long viommu(IommufdClient it, int flags, int type, long device, long hwpt) {
        it.needs(VIOMMU_ALLOC, "IOMMU_VIOMMU_ALLOC");
        MemorySegment struct = it.struct(iommu_viommu_alloc.sizeof());
        iommu_viommu_alloc.flags(struct, flags);
        iommu_viommu_alloc.type(struct, type);
        iommu_viommu_alloc.dev_id(struct, (int) device);
        iommu_viommu_alloc.hwpt_id(struct, (int) hwpt);
        return it.call(VIOMMU_ALLOC, struct);
    }

    private static long vdevice(IommufdClient it, long viommu, long device, long number) {
        it.needs(VDEVICE_ALLOC, "IOMMU_VDEVICE_ALLOC");
        MemorySegment struct = it.struct(iommu_vdevice_alloc.sizeof());
        iommu_vdevice_alloc.viommu_id(struct, (int) viommu);
        iommu_vdevice_alloc.dev_id(struct, (int) device);
        iommu_vdevice_alloc.virt_id(struct, number);
        return it.call(VDEVICE_ALLOC, struct);
    }

    private static long veventq(IommufdClient it, int flags, int type, int depth, int reserved) {
        it.needs(VEVENTQ_ALLOC, "IOMMU_VEVENTQ_ALLOC");
        MemorySegment struct = it.struct(iommu_veventq_alloc.sizeof());
        iommu_veventq_alloc.viommu_id(struct, 99);
        iommu_veventq_alloc.flags(struct, flags);
        iommu_veventq_alloc.type(struct, type);
        iommu_veventq_alloc.veventq_depth(struct, depth);
        iommu_veventq_alloc.__reserved(struct, reserved);
        return it.call(VEVENTQ_ALLOC, struct);
    }

    private static long queue(IommufdClient it, int flags, int type, long iova, long length) {
        it.needs(HW_QUEUE_ALLOC, "IOMMU_HW_QUEUE_ALLOC");
        MemorySegment struct = it.struct(iommu_hw_queue_alloc.sizeof());
        iommu_hw_queue_alloc.viommu_id(struct, 99);
        iommu_hw_queue_alloc.flags(struct, flags);
        iommu_hw_queue_alloc.type(struct, type);
        iommu_hw_queue_alloc.nesting_parent_iova(struct, iova);
        iommu_hw_queue_alloc.length(struct, length);
        return it.call(HW_QUEUE_ALLOC, struct);
    }

    @EveryKernel
    void aVirtualIommuHasATypeAndNoFlags(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, viommu(it, 0, 0, 99, 99));
            fails(Errno.EOPNOTSUPP, viommu(it, 1, SOME_TYPE, 99, 99));
        }
    }

    @EveryKernel
    void aVirtualIommuIsThatOfADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, viommu(it, 0, SOME_TYPE, 99, 99));
            fails(Errno.ENOENT, viommu(it, 0, SOME_TYPE, ok(it.ioas()), 99));
        }
    }

    @EveryKernel
    void theDriverIsAskedBeforeThePageTable(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            fails(Errno.EOPNOTSUPP, viommu(it, 0, SOME_TYPE, id, 99));
            fails(Errno.EOPNOTSUPP, viommu(it, 0, SOME_TYPE, id, ok(it.hwpt(0, id, ok(it.ioas())))));
        }
    }

    @EveryKernel
    void aVirtualDeviceNeedsAVirtualIommu(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            fails(Errno.ENOENT, vdevice(it, 99, id, 0));
            fails(Errno.ENOENT, vdevice(it, id, id, 0));
            fails(Errno.ENOENT, vdevice(it, ok(it.ioas()), id, 0));
        }
    }

    @EveryKernel
    void anyNumberMayBeThatOfAVirtualDevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, vdevice(it, 99, 99, 1L << 40));
            fails(Errno.ENOENT, vdevice(it, 99, 99, -1));
        }
    }

    @EveryKernel
    void anEventQueueHasATypeAndNothingElse(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, veventq(it, 0, 0, 0, 0));
            fails(Errno.EOPNOTSUPP, veventq(it, 1, SOME_TYPE, 0, 0));
            fails(Errno.EOPNOTSUPP, veventq(it, 0, SOME_TYPE, 0, 1));
        }
    }

    @EveryKernel
    void anEventQueueHasADepth(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, veventq(it, 0, SOME_TYPE, 0, 0));
            fails(Errno.ENOENT, veventq(it, 0, SOME_TYPE, 1, 0));
            fails(Errno.ENOENT, veventq(it, 0, SOME_TYPE, 1 << 19, 0));
        }
    }

    @EveryKernel
    void theDepthOfAnEventQueueHasALimit(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long answer = veventq(it, 0, SOME_TYPE, (1 << 19) + 1, 0);
            kernel.needs("a limit of the event queue", answer == -Errno.ENOENT ? answer : 0);
            fails(Errno.EINVAL, answer);
            fails(Errno.EINVAL, veventq(it, 0, SOME_TYPE, -1, 0));
        }
    }

    @EveryKernel
    void aHardwareQueueHasATypeAndNoFlags(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, queue(it, 0, 0, 0, 0));
            fails(Errno.EOPNOTSUPP, queue(it, 1, SOME_TYPE, 0, 0));
        }
    }

    @EveryKernel
    void aHardwareQueueIsARange(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, queue(it, 0, SOME_TYPE, -1, 0));
            fails(Errno.EOVERFLOW, queue(it, 0, SOME_TYPE, -4096, 8192));
            fails(Errno.ENOENT, queue(it, 0, SOME_TYPE, -4096, 4096));
            fails(Errno.ENOENT, queue(it, 0, SOME_TYPE, 0, -1));
        }
    }
}
