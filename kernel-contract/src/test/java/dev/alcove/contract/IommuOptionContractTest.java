// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_OPTION and IOMMU_VFIO_IOAS. */
@Surface("areas")
final class IommuOptionContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final int RLIMIT_MODE = 0;
    private static final int HUGE_PAGES = 1;
    private static final int SET = 0;
    private static final int GET = 1;
    private static final int CLEAR = 2;

    @EveryKernel
    void unknownOptionsAndOperations(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, it.option(7, GET, 0, 0));
            fails(Errno.EOPNOTSUPP, it.option(RLIMIT_MODE, 2, 0, 0));
            fails(Errno.EOPNOTSUPP, it.option(HUGE_PAGES, 5, it.ioas(), 0));
            fails(Errno.ENOENT, it.option(HUGE_PAGES, 5, 99, 0));
        }
    }

    @EveryKernel
    void theReservedHalfWordMustBeZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(iommu_option.sizeof());
            iommu_option.option_id(struct, 7);
            iommu_option.op(struct, (short) GET);
            iommu_option.__reserved(struct, (short) 1);
            fails(Errno.EOPNOTSUPP, it.call(IommufdClient.OPTION, struct));
            iommu_option.option_id(struct, HUGE_PAGES);
            fails(Errno.EOPNOTSUPP, it.call(IommufdClient.OPTION, struct));
        }
    }

    @EveryKernel
    void theRlimitModeIsThatOfTheContext(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel);
                IommufdClient other = new IommufdClient(kernel)) {
            assertEquals(0, it.option(RLIMIT_MODE, GET, 0, 77));
            ok(it.option(RLIMIT_MODE, SET, 0, 1));
            assertEquals(1, it.option(RLIMIT_MODE, GET, 0, 0));
            assertEquals(0, other.option(RLIMIT_MODE, GET, 0, 0));
            ok(it.option(RLIMIT_MODE, SET, 0, 0));
            assertEquals(0, it.option(RLIMIT_MODE, GET, 0, 1));
        }
    }

    @EveryKernel
    void theRlimitModeHasNoObject(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EOPNOTSUPP, it.option(RLIMIT_MODE, GET, ioas, 0));
            fails(Errno.EOPNOTSUPP, it.option(RLIMIT_MODE, SET, 99, 0));
        }
    }

    @EveryKernel
    void theRlimitModeIsOneOfTwo(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, it.option(RLIMIT_MODE, SET, 0, 2));
            fails(Errno.EINVAL, it.option(RLIMIT_MODE, SET, 0, -1));
            fails(Errno.EINVAL, it.option(RLIMIT_MODE, SET, 0, 1L << 32));
        }
    }

    @EveryKernel
    void theRlimitModeIsSetBeforeAnyObject(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EBUSY, it.option(RLIMIT_MODE, SET, 0, 1));
            fails(Errno.EBUSY, it.option(RLIMIT_MODE, SET, 0, 2));
            assertEquals(0, it.option(RLIMIT_MODE, GET, 0, 0));
            ok(it.destroy(ioas));
            ok(it.option(RLIMIT_MODE, SET, 0, 1));
        }
    }

    @EveryKernel
    void aFaultQueueIsAnObjectToo(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            it.faultQueue();
            fails(Errno.EBUSY, it.option(RLIMIT_MODE, SET, 0, 1));
        }
    }

    @EveryKernel
    void aValueThatCannotBeToldIsAFaultAfterTheWork(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(iommu_option.sizeof());
            iommu_option.option_id(struct, RLIMIT_MODE);
            iommu_option.val64(struct, 1);
            fails(Errno.EFAULT, it.callReadOnly(IommufdClient.OPTION, struct));
            assertEquals(1, it.option(RLIMIT_MODE, GET, 0, 0));
        }
    }

    @EveryKernel
    void largePagesAreOnUntilTheyAreOff(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(1, it.option(HUGE_PAGES, GET, ioas, 0));
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
            assertEquals(0, it.option(HUGE_PAGES, GET, ioas, 1));
            ok(it.option(HUGE_PAGES, SET, ioas, 1));
            ok(it.option(HUGE_PAGES, SET, ioas, 1));
            assertEquals(1, it.option(HUGE_PAGES, GET, ioas, 0));
        }
    }

    @EveryKernel
    void largePagesAreOnOrOff(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EINVAL, it.option(HUGE_PAGES, SET, ioas, 2));
            fails(Errno.EINVAL, it.option(HUGE_PAGES, SET, ioas, -1));
            fails(Errno.ENOENT, it.option(HUGE_PAGES, SET, 99, 2));
        }
    }

    @EveryKernel
    void smallPagesWantAlignedAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, 3, MIB));
            fails(Errno.EADDRINUSE, it.option(HUGE_PAGES, SET, ioas, 0));
            assertEquals(1, it.option(HUGE_PAGES, GET, ioas, 0));
            ok(it.unmap(ioas, 0, -1));
            ok(it.map(ioas, ALL, NOWHERE + 8, PAGE, MIB));
            fails(Errno.EADDRINUSE, it.option(HUGE_PAGES, SET, ioas, 0));
            ok(it.unmap(ioas, 0, -1));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
        }
    }

    @EveryKernel
    void withSmallPagesEverythingIsPageAligned(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, 3, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, PAGE, MIB + 1));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE + 1, PAGE, MIB));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, PAGE, MIB + 8));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE + 1, PAGE, MIB));
            ok(it.option(HUGE_PAGES, SET, ioas, 1));
            ok(it.map(ioas, ALL, NOWHERE, 3, 2 * MIB));
        }
    }

    @EveryKernel
    void aDeviceWithAreasKeepsItsPages(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MIB));
            fails(Errno.EINVAL, it.option(HUGE_PAGES, SET, ioas, 0));
            ok(it.option(HUGE_PAGES, SET, ioas, 1));
            ok(it.unmap(ioas, 0, -1));
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MIB));
            ok(it.option(HUGE_PAGES, SET, ioas, 0));
            ok(it.option(HUGE_PAGES, SET, ioas, 1));
            fails(Errno.EINVAL, it.option(HUGE_PAGES, SET, ioas, 0));
        }
    }

    @EveryKernel
    void theCompatIoasIsNoneAtFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            ok(it.ioas());
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
        }
    }

    @EveryKernel
    void theCompatIoasIsSetAndCleared(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long one = ok(it.ioas());
            long two = ok(it.ioas());
            ok(it.vfioIoas(1, one));
            assertEquals(one, it.vfioIoas(0, 0));
            ok(it.vfioIoas(1, two));
            assertEquals(two, it.vfioIoas(0, one));
            ok(it.vfioIoas(CLEAR, 0));
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
            ok(it.vfioIoas(CLEAR, 99));
        }
    }

    @EveryKernel
    void theCompatIoasMustBeAnIoas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, it.vfioIoas(1, 99));
            fails(Errno.EOPNOTSUPP, it.vfioIoas(3, 99));
            MemorySegment struct = it.struct(iommu_vfio_ioas.sizeof());
            iommu_vfio_ioas.op(struct, (short) CLEAR);
            iommu_vfio_ioas.__reserved(struct, (short) 1);
            fails(Errno.EOPNOTSUPP, it.call(IommufdClient.VFIO_IOAS, struct));
        }
    }

    @EveryKernel
    void theCompatIoasMayBeDestroyed(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(it.destroy(ioas));
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
            assertEquals(ioas, it.ioas());
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
        }
    }
}
