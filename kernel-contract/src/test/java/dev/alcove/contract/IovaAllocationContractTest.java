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

/** IOVAs that the kernel chooses. */
@Surface("areas")
final class IovaAllocationContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final int ANY = READ | WRITE;

    @EveryKernel
    void theFirstIsNeverZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void whatTheCallerWritesThereDoesNotMatter(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0x7777));
            assertEquals(2 * PAGE, it.map(ioas, ANY, NOWHERE, PAGE, PAGE));
        }
    }

    @EveryKernel
    void theyAscend(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            for (int i = 1; i <= 5; i++) {
                assertEquals(i * PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
            }
        }
    }

    @EveryKernel
    void theFirstHoleThatFitsIsTaken(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, 6 * PAGE, PAGE));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, 8 * PAGE));
            assertEquals(10 * PAGE, it.map(ioas, ANY, 2 * MIB + 2 * PAGE, 2 * PAGE, 0));
            assertEquals(7 * PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
            assertEquals(9 * PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
            assertEquals(12 * PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
        }
    }

    @EveryKernel
    void theLengthGivesTheAlignment(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(2 * PAGE, it.map(ioas, ANY, 64 * MIB, 2 * PAGE, 0));
            assertEquals(4 * PAGE, it.map(ioas, ANY, 64 * MIB, 3 * PAGE, 0));
            assertEquals(8 * PAGE, it.map(ioas, ANY, 64 * MIB, 5 * PAGE, 0));
            assertEquals(PAGE, it.map(ioas, ANY, 64 * MIB, PAGE, 0));
        }
    }

    @EveryKernel
    void butNoMoreThanTheAddressHas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(PAGE, it.map(ioas, ANY, 64 * MIB + PAGE, 16 * PAGE, 0));
            assertEquals(18 * PAGE, it.map(ioas, ANY, 64 * MIB + 2 * PAGE, 16 * PAGE, 0));
        }
    }

    @EveryKernel
    void norMoreThanAHugePage(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(2 * MIB, it.map(ioas, ANY, 64 * MIB, 3 * MIB, 0));
            assertEquals(6 * MIB, it.map(ioas, ANY, 1L << 30, 1L << 30, 0));
        }
    }

    @EveryKernel
    void addressZeroIsAlignedToTheLength(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(4 * PAGE, it.map(ioas, ANY, 0, 4 * PAGE, 0));
            assertEquals(2 * MIB, it.map(ioas, ANY, 0, 8 * MIB, 0));
        }
    }

    @EveryKernel
    void theOffsetInThePageStays(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(PAGE + 0x123, it.map(ioas, ANY, 0x40123, PAGE, 0));
            assertEquals(2 * PAGE + 0x800, it.map(ioas, ANY, 0x40800, 0x800, 0));
        }
    }

    @EveryKernel
    void aByteFindsItsPlaceInTheSamePage(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(PAGE, it.map(ioas, ANY, NOWHERE, 1, 0));
            assertEquals(PAGE + 1, it.map(ioas, ANY, NOWHERE, 1, 0));
            assertEquals(PAGE + 2, it.map(ioas, ANY, NOWHERE, 2, 0));
            assertEquals(PAGE + 8, it.map(ioas, ANY, NOWHERE, 5, 0));
        }
    }

    @EveryKernel
    void whatCannotFitAnywhereOverflows(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.EOVERFLOW, it.map(ioas, ANY, 0, Long.MAX_VALUE, 0));
            fails(Errno.EOVERFLOW, it.map(ioas, ANY, 0, Long.MIN_VALUE, 0));
            assertEquals(2 * MIB, it.map(ioas, ANY, 0, Long.MAX_VALUE - 1, 0));
        }
    }

    @EveryKernel
    void noRoomIsNoSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, 0, Long.MAX_VALUE - 1, PAGE));
            ok(it.map(ioas, ALL, 0, Long.MAX_VALUE - PAGE, Long.MIN_VALUE + PAGE - 2));
            fails(Errno.ENOSPC, it.map(ioas, ANY, 0, MIB, 0));
        }
    }

    @EveryKernel
    void theLastPageIsNotChosen(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            fails(Errno.ENOSPC, allowOnly(it, ioas, -PAGE, -2));
            assertEquals(-2 * PAGE, allowOnly(it, ioas, -2 * PAGE, -2));
        }
    }

    private static long allowOnly(IommufdClient it, long ioas, long first, long last) {
        ok(it.allow(ioas, first, last));
        return it.map(ioas, ANY, NOWHERE, PAGE, 0);
    }

    @EveryKernel
    void allowedRangesBindWhatIsChosen(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB, 4 * MIB + 4 * PAGE - 1, 8 * MIB, 9 * MIB - 1));
            assertEquals(4 * MIB, it.map(ioas, READ, NOWHERE, 4 * PAGE, 0));
            assertEquals(8 * MIB, it.map(ioas, READ, NOWHERE, PAGE, 0));
            fails(Errno.ENOSPC, it.map(ioas, READ, NOWHERE, MIB, 0));
        }
    }

    @EveryKernel
    void allowedRangesThatTouchAreOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB, 4 * MIB + PAGE - 1, 4 * MIB + PAGE, 4 * MIB + 2 * PAGE - 1));
            assertEquals(4 * MIB, it.map(ioas, READ, NOWHERE, 2 * PAGE, 0));
        }
    }

    @EveryKernel
    void allowedRangesDoNotBindFixedIovas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB, 5 * MIB));
            assertEquals(MIB, it.map(ioas, FIXED | READ, NOWHERE, PAGE, MIB));
        }
    }

    @EveryKernel
    void aChoiceInAnAllowedRangeIsAligned(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.allow(ioas, 4 * MIB + PAGE, 5 * MIB - 1));
            assertEquals(4 * MIB + 4 * PAGE, it.map(ioas, READ, 64 * MIB, 4 * PAGE, 0));
            fails(Errno.ENOSPC, it.map(ioas, READ, 64 * MIB, MIB, 0));
        }
    }

    @EveryKernel
    void alignmentThatTheAddressLacksIsInvalid(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.option(1, 0, ioas, 0));
            fails(Errno.EINVAL, it.map(ioas, ANY, NOWHERE + 1, PAGE, 0));
            fails(Errno.EINVAL, it.map(ioas, ANY, NOWHERE + 0x800, PAGE, 0));
            fails(Errno.EINVAL, it.map(ioas, ANY, NOWHERE, 0x800, 0));
            assertEquals(PAGE, it.map(ioas, ANY, NOWHERE, PAGE, 0));
        }
    }
}
