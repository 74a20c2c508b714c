// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static dev.alcove.contract.IommufdClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_COPY between address spaces without a device. */
@Surface("areas")
final class IoasCopyContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final int READ_ONLY = FIXED | READ;

    /** Four pages to write at 1 MiB, four to read behind them, a hole of one page, four to write. */
    private static long source(IommufdClient it) {
        long ioas = ok(it.ioas());
        ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB));
        ok(it.map(ioas, READ_ONLY, NOWHERE, 4 * PAGE, MIB + 4 * PAGE));
        ok(it.map(ioas, ALL, NOWHERE, 4 * PAGE, MIB + 9 * PAGE));
        return ioas;
    }

    @EveryKernel
    void unknownFlagsComeFirst(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOPNOTSUPP, it.copy(8, 98, -1, 99, -1, -1));
            fails(Errno.EOPNOTSUPP, it.copy(ALL | 0x100, 98, 0, 99, 0, 0));
        }
    }

    @EveryKernel
    void thenNumbersThatAreTooLarge(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EOVERFLOW, it.copy(FIXED, 98, 0, 99, -1, PAGE));
            fails(Errno.EOVERFLOW, it.copy(FIXED, 98, -1, 99, 0, PAGE));
            fails(Errno.EOVERFLOW, it.copy(FIXED, 98, 0, 99, 0, -1));
        }
    }

    @EveryKernel
    void thenRightsThenTheSource(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, it.copy(FIXED, 98, MIB, 99, MIB, PAGE));
            fails(Errno.ENOENT, it.copy(ALL, 98, MIB, 99, MIB, 0));
        }
    }

    @EveryKernel
    void thenTheRangeInTheSource(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            fails(Errno.EINVAL, it.copy(ALL, from, MIB, 99, MIB, 0));
            fails(Errno.EOVERFLOW, it.copy(ALL, from, -PAGE, 99, MIB, 2 * PAGE));
            fails(Errno.ENOENT, it.copy(ALL, from, 8 * MIB, 99, MIB, PAGE));
        }
    }

    @EveryKernel
    void thenTheTarget(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            fails(Errno.ENOENT, it.copy(ALL, from, MIB, 99, MIB, PAGE));
            fails(Errno.ENOENT, it.copy(ALL, from, MIB + 4 * PAGE, 99, -PAGE, 2 * PAGE));
        }
    }

    @EveryKernel
    void thenThePlaceInTheTarget(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            ok(it.map(to, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EOVERFLOW, it.copy(ALL, from, MIB, to, -PAGE, 2 * PAGE));
            fails(Errno.EEXIST, it.copy(ALL, from, MIB + 4 * PAGE, to, MIB, PAGE));
        }
    }

    @EveryKernel
    void aHoleInTheSourceIsNoEntry(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            fails(Errno.ENOENT, it.copy(READ_ONLY, from, MIB, to, MIB, 9 * PAGE));
            fails(Errno.ENOENT, it.copy(READ_ONLY, from, MIB - PAGE, to, MIB, 2 * PAGE));
            fails(Errno.ENOENT, it.copy(READ_ONLY, from, MIB + 12 * PAGE, to, MIB, 2 * PAGE));
            fails(Errno.ENOENT, it.copy(READ_ONLY, from, MIB + 8 * PAGE, to, MIB, 2 * PAGE));
            assertEquals(0, it.unmap(to, 0, -1));
        }
    }

    @EveryKernel
    void severalAreasAreCopiedAsSeveral(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            assertEquals(MIB, it.copy(READ_ONLY, from, MIB + PAGE, to, MIB, 6 * PAGE));
            assertEquals(3 * PAGE, it.unmap(to, MIB, 3 * PAGE));
            assertEquals(3 * PAGE, it.unmap(to, MIB + 3 * PAGE, 3 * PAGE));
        }
    }

    @EveryKernel
    void readOnlyPagesAreNotMadeWritable(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            fails(Errno.EPERM, it.copy(ALL, from, MIB + 4 * PAGE, to, MIB, PAGE));
            fails(Errno.EPERM, it.copy(FIXED | WRITE, from, MIB + 4 * PAGE, to, MIB, PAGE));
            assertEquals(MIB, it.copy(READ_ONLY, from, MIB + 4 * PAGE, to, MIB, PAGE));
        }
    }

    @EveryKernel
    void oneReadOnlyAreaOfSeveralRefusesAll(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            fails(Errno.EPERM, it.copy(ALL, from, MIB, to, MIB, 8 * PAGE));
            assertEquals(0, it.unmap(to, 0, -1), "nothing of the first area stays");
        }
    }

    @EveryKernel
    void aReadOnlyCopyOfWritablePagesCanBeWidenedAgain(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            assertEquals(MIB, it.copy(READ_ONLY, from, MIB, to, MIB, 4 * PAGE));
            assertEquals(4 * MIB, it.copy(ALL, to, MIB, from, 4 * MIB, PAGE));
        }
    }

    @EveryKernel
    void bytesAreEnoughWithoutADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            assertEquals(5 * MIB + 5, it.copy(ALL, from, MIB + 5, to, 5 * MIB + 5, 7));
            assertEquals(3, it.copy(ALL, from, MIB + 6, to, 3, 1));
            assertEquals(8, it.unmap(to, 0, -1));
        }
    }

    @EveryKernel
    void withinOneAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = source(it);
            fails(Errno.EEXIST, it.copy(ALL, ioas, MIB, ioas, MIB, PAGE));
            fails(Errno.EEXIST, it.copy(ALL, ioas, MIB, ioas, MIB + PAGE, PAGE));
            assertEquals(MIB + 8 * PAGE, it.copy(ALL, ioas, MIB, ioas, MIB + 8 * PAGE, PAGE));
            assertEquals(13 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void theIovaCanBeChosen(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            assertEquals(PAGE, it.copy(READ, from, MIB, to, 0x55, PAGE));
            assertEquals(2 * PAGE + 0x80, it.copy(READ, from, MIB + 0x80, to, 0, 0x80));
        }
    }

    @EveryKernel
    void aCopyOutlivesItsSource(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long from = source(it);
            long to = ok(it.ioas());
            ok(it.copy(ALL, from, MIB, to, MIB, 2 * PAGE));
            ok(it.destroy(from));
            assertEquals(2 * MIB, it.copy(ALL, to, MIB + PAGE, to, 2 * MIB, PAGE));
            assertEquals(2 * PAGE, it.unmap(to, MIB, 2 * PAGE));
            assertEquals(PAGE, it.unmap(to, 0, -1));
        }
    }
}
