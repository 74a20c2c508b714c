// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.READ;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_IOMMU_UNMAP_DMA on /dev/iommu cuts areas once VFIO_TYPE1_IOMMU has turned large pages off. */
@Surface("compat")
final class Type1CutContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final int SET_IOMMU = 0x3b66;
    private static final int TYPE1 = 1;

    private static long type1(KernelUnderTest kernel, IommufdClient it) {
        long ioas = ok(it.ioas());
        ok(it.vfioIoas(1, ioas));
        ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
        return ioas;
    }

    @EveryKernel
    void aPieceOutOfTheMiddle(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 64 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 7 * PAGE, PAGE));
            assertEquals(0, it.type1Unmap(0, MIB + 7 * PAGE, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 6 * PAGE));
            assertEquals(7 * PAGE, it.unmap(ioas, MIB, 7 * PAGE));
            assertEquals(56 * PAGE, it.unmap(ioas, MIB + 8 * PAGE, 56 * PAGE));
        }
    }

    @EveryKernel
    void aPieceAtEitherEnd(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB, PAGE));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 7 * PAGE, PAGE));
            assertEquals(6 * PAGE, it.unmap(ioas, MIB + PAGE, 6 * PAGE));
        }
    }

    @EveryKernel
    void aRangeThatReachesOutCutsWhereItEnds(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
            ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB + 8 * PAGE));
            assertEquals(4 * PAGE, it.type1Unmap(0, MIB + 2 * PAGE, 8 * PAGE));
            assertEquals(2 * PAGE, it.unmap(ioas, MIB, 2 * PAGE));
            assertEquals(2 * PAGE, it.unmap(ioas, MIB + 10 * PAGE, 2 * PAGE));
        }
    }

    @EveryKernel
    void aCutStaysEvenIfNothingIsUnmapped(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB + 2 * PAGE, 0));
            assertEquals(2 * PAGE, it.unmap(ioas, MIB, 2 * PAGE));
            assertEquals(6 * PAGE, it.unmap(ioas, MIB + 2 * PAGE, 6 * PAGE));
        }
    }

    @EveryKernel
    void aCutInAPageIsInvalid(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB + 2 * PAGE, 100));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB + 100, 2 * PAGE - 100));
            assertEquals(8 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void theUpperEndIsCutFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB + PAGE + 100, 3 * PAGE - 100));
            assertEquals(4 * PAGE, it.unmap(ioas, MIB, 4 * PAGE), "the upper cut has been made");
            assertEquals(4 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aCutBehindTheFirstByteIsPassedOver(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, MIB));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB + 1, 2 * PAGE - 1));
            assertEquals(2 * PAGE, it.unmap(ioas, MIB, 2 * PAGE), "only the upper cut has been made");
        }
    }

    @EveryKernel
    void iovaZeroNeedsNoCutBelow(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, ALL, NOWHERE, 8 * PAGE, 0));
            assertEquals(2 * PAGE, it.type1Unmap(0, 0, 2 * PAGE));
            assertEquals(6 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void halvesKeepTheirRights(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = type1(kernel, it);
            ok(it.map(ioas, IommufdClient.FIXED | READ, NOWHERE, 8 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 4 * PAGE, PAGE));
            fails(Errno.EPERM, it.copy(ALL, ioas, MIB + 5 * PAGE, ioas, 2 * MIB, PAGE));
            ok(it.copy(IommufdClient.FIXED | READ, ioas, MIB + 5 * PAGE, ioas, 2 * MIB, 3 * PAGE));
        }
    }

    @EveryKernel
    void underADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = type1(kernel, it);
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 5 * PAGE, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            assertEquals(15 * PAGE, it.unmap(ioas, MIB, 16 * PAGE));
        }
    }

    @EveryKernel
    void onceADeviceHasAreasItIsTooLateForType1(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB, PAGE));
            ok(it.unmap(ioas, 0, -1));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
        }
    }

    @EveryKernel
    void areasMappedWithSmallPagesAreNotCutOnceLargeOnesAreBack(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = type1(kernel, it);
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            ok(it.option(1, 0, ioas, 1));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB, PAGE));
            assertEquals(16 * PAGE, it.type1Unmap(0, MIB, 16 * PAGE));
        }
    }

    @EveryKernel
    void aPieceOfACopyLeavesTheOriginal(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = type1(kernel, it);
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            ok(it.copy(ALL, ioas, MIB, ioas, 2 * MIB, 16 * PAGE));
            assertEquals(2 * PAGE, it.type1Unmap(0, 2 * MIB + PAGE, 2 * PAGE));
            assertEquals(16 * PAGE, it.unmap(ioas, MIB, 16 * PAGE));
            assertEquals(14 * PAGE, it.unmap(ioas, 0, -1));
        }
    }
}
