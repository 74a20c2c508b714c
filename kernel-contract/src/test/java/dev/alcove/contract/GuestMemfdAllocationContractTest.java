// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;

/** fallocate of a guest_memfd: what it takes and which error comes first. */
@Surface("guest_memfd")
@Timeout(60)
final class GuestMemfdAllocationContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int KEEP = Linux.FALLOC_FL_KEEP_SIZE;
    private static final int PUNCH = Linux.FALLOC_FL_PUNCH_HOLE;

    /** A guest_memfd of eight pages. */
    private static final class File implements AutoCloseable {
        final KvmMachine m;
        final int g;

        File(KernelUnderTest kernel) {
            m = KvmMachine.withGmem(kernel, 0);
            g = m.own(m.gmem(8 * PAGE, 0));
        }

        int allocate(int mode, long offset, long length) {
            return m.sys.fallocate(g, mode, offset, length);
        }

        @Override
        public void close() {
            m.close();
        }
    }

    @EveryKernel
    void allocationKeepsTheSize(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EOPNOTSUPP, f.allocate(0, 0, PAGE));
            ok(f.allocate(KEEP, 0, PAGE));
        }
    }

    @EveryKernel
    void allocationOfEverything(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            ok(f.allocate(KEEP, 0, 8 * PAGE));
            ok(f.allocate(KEEP, 0, 8 * PAGE));
        }
    }

    @EveryKernel
    void allocationStaysInTheFile(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EINVAL, f.allocate(KEEP, 0, 9 * PAGE));
            fails(Errno.EINVAL, f.allocate(KEEP, 8 * PAGE, PAGE));
            fails(Errno.EINVAL, f.allocate(KEEP, 100 * PAGE, PAGE));
            ok(f.allocate(KEEP, 7 * PAGE, PAGE));
        }
    }

    @EveryKernel
    void rangesAreWholePages(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            for (int mode : new int[] {KEEP, KEEP | PUNCH}) {
                fails(Errno.EINVAL, f.allocate(mode, 1, PAGE));
                fails(Errno.EINVAL, f.allocate(mode, 0, 1));
                fails(Errno.EINVAL, f.allocate(mode, 0, PAGE + 1));
            }
        }
    }

    @EveryKernel
    void rangesAreNotEmpty(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            for (int mode : new int[] {KEEP, KEEP | PUNCH}) {
                fails(Errno.EINVAL, f.allocate(mode, 0, 0));
                fails(Errno.EINVAL, f.allocate(mode, 0, -PAGE));
                fails(Errno.EINVAL, f.allocate(mode, -PAGE, PAGE));
            }
        }
    }

    @EveryKernel
    void rangesDoNotOverflow(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            for (int mode : new int[] {KEEP, KEEP | PUNCH}) {
                fails(Errno.EFBIG, f.allocate(mode, 0x7ffffffffffff000L, PAGE));
                fails(Errno.EFBIG, f.allocate(mode, PAGE, 0x7ffffffffffff000L));
            }
        }
    }

    @EveryKernel
    void punchingKeepsTheSize(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EOPNOTSUPP, f.allocate(PUNCH, 0, PAGE));
            ok(f.allocate(KEEP | PUNCH, 0, PAGE));
        }
    }

    @EveryKernel
    void punchingWhereNothingIs(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            ok(f.allocate(KEEP | PUNCH, 0, 8 * PAGE));
            ok(f.allocate(KEEP | PUNCH, 0, 8 * PAGE));
        }
    }

    @EveryKernel
    void punchingBehindTheEnd(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            ok(f.allocate(KEEP | PUNCH, 100 * PAGE, PAGE));
            ok(f.allocate(KEEP | PUNCH, 8 * PAGE, PAGE));
        }
    }

    @EveryKernel
    void punchingOverTheEnd(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            ok(f.allocate(KEEP, 0, 8 * PAGE));
            ok(f.allocate(KEEP | PUNCH, 4 * PAGE, 100 * PAGE));
        }
    }

    @EveryKernel
    void nothingElseIsSupported(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            int[] modes = {
                Linux.FALLOC_FL_ZERO_RANGE,
                Linux.FALLOC_FL_COLLAPSE_RANGE,
                Linux.FALLOC_FL_INSERT_RANGE,
                Linux.FALLOC_FL_UNSHARE_RANGE,
                4,
                0x80,
                0x100,
                1 << 30
            };
            for (int mode : modes) {
                fails(Errno.EOPNOTSUPP, f.allocate(mode, 0, PAGE));
                fails(Errno.EOPNOTSUPP, f.allocate(mode | KEEP, 0, PAGE));
                fails(Errno.EOPNOTSUPP, f.allocate(mode | KEEP | PUNCH, 0, PAGE));
            }
        }
    }

    @EveryKernel
    void theRangesSignDecidesBeforeTheMode(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EINVAL, f.allocate(0, -PAGE, PAGE));
            fails(Errno.EINVAL, f.allocate(PUNCH, 0, 0));
        }
    }

    @EveryKernel
    void theModeDecidesBeforeTheAlignment(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EOPNOTSUPP, f.allocate(0, 1, 1));
            fails(Errno.EOPNOTSUPP, f.allocate(KEEP | Linux.FALLOC_FL_ZERO_RANGE, 1, PAGE));
        }
    }

    @EveryKernel
    void anUnknownModeDecidesBeforeTheOverflow(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EOPNOTSUPP, f.allocate(PUNCH, 0x7ffffffffffff000L, PAGE));
            fails(Errno.EFBIG, f.allocate(0, 0x7ffffffffffff000L, PAGE));
            fails(Errno.EFBIG, f.allocate(KEEP | Linux.FALLOC_FL_ZERO_RANGE, 0x7ffffffffffff000L, PAGE));
        }
    }

    @EveryKernel
    void theAlignmentDecidesBeforeTheSizeOfTheFile(KernelUnderTest kernel) {
        try (File f = new File(kernel)) {
            fails(Errno.EINVAL, f.allocate(KEEP | PUNCH, 100 * PAGE + 1, PAGE));
        }
    }
}
