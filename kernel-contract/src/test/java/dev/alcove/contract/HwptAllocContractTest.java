// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.HWPT_ALLOC;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** IOMMU_HWPT_ALLOC, with what a VT-d without nesting, dirty bits and page requests refuses. */
@Surface("domains")
final class HwptAllocContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x10_0000_0000_0000L;
    private static final int NEST_PARENT = 1;
    private static final int DIRTY = 2;
    private static final int FAULT = 4;
    private static final int PASID = 8;

    private static long allocate(IommufdClient it, long device, long parent, int dataType, int dataLength) {
        MemorySegment struct = it.struct(iommu_hwpt_alloc.sizeof());
        iommu_hwpt_alloc.dev_id(struct, (int) device);
        iommu_hwpt_alloc.pt_id(struct, (int) parent);
        iommu_hwpt_alloc.data_type(struct, dataType);
        iommu_hwpt_alloc.data_len(struct, dataLength);
        return it.call(HWPT_ALLOC, struct);
    }

    /** Makes a page table with a flag; skips the test where the kernel does not know it for such a table. */
    private static long needs(KernelUnderTest kernel, String feature, long answer) {
        kernel.needs(feature, answer == -Errno.EOPNOTSUPP ? answer : 0);
        return answer;
    }

    private static long faulting(KernelUnderTest kernel, IommufdClient it, long device, long ioas, long queue) {
        return needs(kernel, "IOMMU_HWPT_FAULT_ID_VALID", it.hwpt(FAULT, device, ioas, queue));
    }

    @EveryKernel
    void dataNeedsATypeAndATypeData(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, allocate(it, 99, 99, 0, 8));
            fails(Errno.EINVAL, allocate(it, 99, 99, 1, 0));
            fails(Errno.ENOENT, allocate(it, 99, 99, 1, 8));
        }
    }

    @EveryKernel
    void theDeviceIsLookedForFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.ENOENT, it.hwpt(0, 99, ioas));
            fails(Errno.ENOENT, it.hwpt(0, ioas, ioas));
            fails(Errno.ENOENT, it.hwpt(0x100, 99, 98));
        }
    }

    @EveryKernel
    void aParentThatIsNoneIsInvalid(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            fails(Errno.EINVAL, it.hwpt(0, id, 99));
            fails(Errno.EINVAL, it.hwpt(0, id, id));
            fails(Errno.EINVAL, it.hwpt(0, id, it.faultQueue().id()));
            fails(Errno.EINVAL, it.hwpt(0x100, id, id));
        }
    }

    @EveryKernel
    void unknownFlagsAreNotSupported(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            fails(Errno.EOPNOTSUPP, it.hwpt(0x10, id, ioas));
            fails(Errno.EOPNOTSUPP, it.hwpt(0x8000_0000, id, ioas));
        }
    }

    @EveryKernel
    void driverDataIsNotForPagingTables(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            fails(Errno.EOPNOTSUPP, allocate(it, id, ok(it.ioas()), 1, 8));
        }
    }

    @EveryKernel
    void nestingAndDirtyBitsAreOnlyForThoseWhoHaveThem(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            for (int flags : new int[] {NEST_PARENT, DIRTY, NEST_PARENT | DIRTY}) {
                long answer = it.hwpt(flags, id, ioas);
                assertTrue(answer > 0 || answer == -Errno.EOPNOTSUPP, "flags " + flags + ": " + answer);
            }
            fails(Errno.EOPNOTSUPP, it.hwpt(NEST_PARENT | FAULT, id, ioas));
        }
    }

    @EveryKernel
    void thePasidFlagNeedsNoHardware(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long hwpt = ok(needs(kernel, "IOMMU_HWPT_ALLOC_PASID", it.hwpt(PASID, id, ok(it.ioas()))));
            assertEquals(hwpt, it.attach(device, hwpt));
        }
    }

    @EveryKernel
    void aPagingTableIsNoParentUnlessItWasMadeOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long hwpt = ok(it.hwpt(0, id, ok(it.ioas())));
            fails(Errno.EOPNOTSUPP, it.hwpt(0, id, hwpt));
            fails(Errno.EINVAL, allocate(it, id, hwpt, 1, 8));
        }
    }

    @EveryKernel
    void aFaultQueueMustBeOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            fails(Errno.ENOENT, faulting(kernel, it, id, ioas, 99));
            fails(Errno.ENOENT, faulting(kernel, it, id, ioas, ioas));
            ok(it.hwpt(0, id, ioas, 99));
        }
    }

    @EveryKernel
    void theTableIsFilledBeforeTheFaultQueueIsLookedFor(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EFAULT, faulting(kernel, it, id, ioas, 99));
        }
    }

    @EveryKernel
    void aTableUsesItsFaultQueue(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            IommufdClient.FaultQueue queue = it.faultQueue();
            long hwpt = ok(faulting(kernel, it, id, ok(it.ioas()), queue.id()));
            fails(Errno.EBUSY, it.destroy(queue.id()));
            it.closeFile(queue.fd());
            fails(Errno.EBUSY, it.destroy(queue.id()));
            ok(it.destroy(hwpt));
            ok(it.destroy(queue.id()));
        }
    }

    @EveryKernel
    void aDeviceWithoutPageRequestsCannotUseATableThatWantsThem(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            long hwpt = ok(faulting(kernel, it, id, ioas, it.faultQueue().id()));
            fails(Errno.ENODEV, it.attach(device, hwpt));
            assertEquals(2, it.ranges(ioas).length, "the message window is given back");
            ok(it.attach(device, ioas));
        }
    }

    @EveryKernel
    void aReplaceThatTheDriverRefusesForgetsTheMessageWindow(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            long hwpt = ok(faulting(kernel, it, id, ioas, it.faultQueue().id()));
            ok(it.attach(device, ioas));
            assertEquals(4, it.ranges(ioas).length);
            fails(Errno.ENODEV, it.attach(device, hwpt));
            assertEquals(2, it.ranges(ioas).length, "both tables carry the same address space");
            ok(it.detach(device));
            ok(it.attach(device, ioas));
            assertEquals(4, it.ranges(ioas).length);
        }
    }

    @EveryKernel
    void aNewTableHoldsAllAreasOrNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(4), 4 * PAGE, MIB));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, 2 * MIB));
            fails(Errno.EFAULT, it.hwpt(0, id, ioas));
            assertEquals(2, it.ranges(ioas).length, "the aperture is given back");
            ok(it.unmap(ioas, 2 * MIB, PAGE));
            ok(it.hwpt(0, id, ioas));
        }
    }

    @EveryKernel
    void aTableWantsAlignedAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(1), 100, MIB));
            fails(Errno.EADDRINUSE, it.hwpt(0, id, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.map(ioas, ALL, it.memory(2) + 8, PAGE, MIB));
            fails(Errno.EADDRINUSE, it.hwpt(0, id, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MIB + 8));
            fails(Errno.EADDRINUSE, it.hwpt(0, id, ioas));
        }
    }

    @EveryKernel
    void anAreaBeyondTheApertureIsInTheWay(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(1), PAGE, 1L << 60));
            fails(Errno.EADDRINUSE, it.hwpt(0, id, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.allow(ioas, 0, 1L << 60));
            fails(Errno.EADDRINUSE, it.hwpt(0, id, ioas));
            ok(it.allow(ioas));
            ok(it.hwpt(0, id, ioas));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), PAGE, 1L << 60));
        }
    }

    @EveryKernel
    void withoutADeviceOnlyTheApertureIsReserved(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            long hwpt = ok(it.hwpt(0, id, ioas));
            assertEquals(2, it.ranges(ioas).length);
            ok(it.map(ioas, ALL, it.memory(1), PAGE, 0xfee0_0000L));
            ok(it.destroy(hwpt));
            assertEquals(-1, it.ranges(ioas)[1]);
        }
    }

    @EveryKernel
    void tablesKeepTheirAddressSpaceBusy(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            long one = ok(it.hwpt(0, id, ioas));
            long two = ok(it.hwpt(0, id, ioas));
            fails(Errno.EBUSY, it.destroy(ioas));
            ok(it.destroy(one));
            fails(Errno.EBUSY, it.destroy(ioas));
            ok(it.destroy(two));
            ok(it.destroy(ioas));
        }
    }

    @EveryKernel
    void theOldStructIsHalfAsLong(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            MemorySegment struct = it.struct(iommu_hwpt_alloc.sizeof()).fill((byte) 0x55);
            struct.asSlice(0, 24).fill((byte) 0);
            iommu_destroy.size(struct, 24);
            iommu_hwpt_alloc.dev_id(struct, (int) id);
            iommu_hwpt_alloc.pt_id(struct, (int) ioas);
            ok(it.call(HWPT_ALLOC, struct));
            ok(it.destroy(iommu_hwpt_alloc.out_hwpt_id(struct)));
            assertEquals(0x5555_5555, iommu_hwpt_alloc.data_type(struct));
        }
    }

    @EveryKernel
    void aTableWhoseIdIsLostIsGone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MIB));
            MemorySegment struct = it.struct(iommu_hwpt_alloc.sizeof());
            iommu_hwpt_alloc.dev_id(struct, (int) id);
            iommu_hwpt_alloc.pt_id(struct, (int) ioas);
            fails(Errno.EFAULT, it.callReadOnly(HWPT_ALLOC, struct));
            assertEquals(2, it.ranges(ioas).length);
            ok(it.destroy(ioas));
        }
    }
}
