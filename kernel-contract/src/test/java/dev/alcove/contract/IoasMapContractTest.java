// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static dev.alcove.contract.IommufdClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_MAP without a device, where nothing is pinned: what is checked, and in which order. */
@Surface("areas")
final class IoasMapContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;

    @EveryKernel
    void unknownFlagsComeFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, it.map(99, ALL | 8, 0, 0, -1));
            fails(Errno.EOPNOTSUPP, it.map(99, 0x8000_0000, 0, 0, -1));
        }
    }

    @EveryKernel
    void thenNumbersThatAreTooLarge(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOVERFLOW, it.map(99, FIXED, 0, 1, -1));
            fails(Errno.EOVERFLOW, it.map(99, FIXED, 0, -1, 0));
            fails(Errno.EOVERFLOW, it.map(99, 0, 0, 1, -1));
        }
    }

    @EveryKernel
    void thenRightsThenTheId(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, it.map(99, FIXED, 0, PAGE, 0));
            fails(Errno.EINVAL, it.map(99, 0, -PAGE, 2 * PAGE, 0));
            fails(Errno.ENOENT, it.map(99, READ, -PAGE, 2 * PAGE, 0));
            fails(Errno.ENOENT, it.map(0, ALL, 0, 0, 0));
        }
    }

    @EveryKernel
    void thenTheRangeOfAddresses(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, -PAGE, 2 * PAGE, MIB));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, -PAGE, PAGE, MIB));
            int tooLong = KvmMachine.before(kernel.sys(), 6, 13) ? Errno.EINVAL : Errno.EOVERFLOW;
            fails(tooLong, it.map(ioas, ALL, 2 * PAGE, -PAGE, MIB));
        }
    }

    @EveryKernel
    void thenTheLength(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, NOWHERE, 0, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, 0, -PAGE + 1, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, 0, -PAGE, MIB));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, 0, -PAGE - 1, MIB));
        }
    }

    @EveryKernel
    void thenTheRangeOfIovas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, -3 * PAGE));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, 0, 4 * PAGE, -3 * PAGE));
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, 0, 3, -2));
        }
    }

    @EveryKernel
    void thenOtherAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, PAGE, MIB + 3 * PAGE));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 2 * PAGE, MIB - PAGE));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 16 * PAGE, MIB - PAGE));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 1, MIB + 4 * PAGE - 1));
        }
    }

    @EveryKernel
    void neighboursMayTouch(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            assertEquals(MIB - PAGE, it.map(ioas, ALL, NOWHERE, PAGE, MIB - PAGE));
            assertEquals(MIB + PAGE, it.map(ioas, ALL, NOWHERE, PAGE, MIB + PAGE));
            assertEquals(3 * PAGE, it.unmap(ioas, MIB - PAGE, 3 * PAGE));
        }
    }

    @EveryKernel
    void bytesAreEnoughWithoutADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(MIB, it.map(ioas, FIXED | WRITE, NOWHERE + 77, 1, MIB));
            assertEquals(MIB + 1, it.map(ioas, ALL, NOWHERE, 3, MIB + 1));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 1, MIB + 3));
            assertEquals(4, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void iovaZeroMayBeAskedFor(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(0, it.map(ioas, FIXED | READ, NOWHERE, PAGE, 0));
            assertEquals(PAGE, it.unmap(ioas, 0, PAGE));
        }
    }

    @EveryKernel
    void theLastByteCannotBeMappedByItself(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EOVERFLOW, it.map(ioas, ALL, NOWHERE, 1, -1));
            assertEquals(-2, it.map(ioas, ALL, NOWHERE, 2, -2));
            assertEquals(2, it.unmap(ioas, -2, 2));
        }
    }

    @EveryKernel
    void addressesNeedNotExist(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(MIB, it.map(ioas, ALL, 0, PAGE, MIB));
            assertEquals(2 * MIB, it.map(ioas, ALL, -(1L << 40), PAGE, 2 * MIB));
            assertEquals(1L << 62, it.map(ioas, ALL, 0, 1L << 62, 1L << 62));
            assertEquals((1L << 62) + 2 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aFailureLeavesTheStructAlone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            MemorySegment struct = it.struct(iommu_ioas_map.sizeof());
            iommu_ioas_map.ioas_id(struct, (int) ioas);
            iommu_ioas_map.flags(struct, READ);
            iommu_ioas_map.iova(struct, 0x7777);
            iommu_ioas_map.length(struct, 0);
            fails(Errno.EINVAL, it.call(IommufdClient.MAP, struct));
            assertEquals(0x7777, iommu_ioas_map.iova(struct));
        }
    }

    @EveryKernel
    void whatFailsLeavesNothingBehind(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB + PAGE));
            fails(Errno.EEXIST, it.map(ioas, ALL, NOWHERE, 2 * PAGE, MIB));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            assertEquals(PAGE, it.unmap(ioas, 0, -1));
        }
    }
}
