// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;

/** The checks of KVM_SET_MEMORY_ATTRIBUTES; what it does to accesses is tested with running vCPUs. */
@Surface("attributes")
@Timeout(60)
final class KvmAttributesContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final long PRIVATE = KvmMachine.PRIVATE;

    private static KvmMachine machine(KernelUnderTest kernel) {
        return new KvmMachine(kernel, KvmMachine.SW_PROTECTED);
    }

    /** A machine without private memory, of a kernel that knows of it, or of one that does not. */
    private static KvmMachine plain(KernelUnderTest kernel, boolean known) {
        KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT);
        boolean knows = m.system(KvmMachine.MEMORY_ATTRIBUTES) != 0;
        if (knows != known) {
            m.close();
        }
        kernel.needs(known ? "memory attributes" : "nothing: it has memory attributes", knows == known ? 0 : -Errno.EINVAL);
        return m;
    }

    @EveryKernel
    void aKernelWithoutThemDoesNotKnowTheRequest(KernelUnderTest kernel) {
        try (KvmMachine m = plain(kernel, false)) {
            fails(Errno.ENOTTY, m.attributes(0, PAGE, 0, 0));
            fails(Errno.ENOTTY, m.attributes(1, 0, -1, 1));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void aDefaultMachineTakesNone(KernelUnderTest kernel) {
        try (KvmMachine m = plain(kernel, true)) {
            ok(m.attributes(0, PAGE, 0, 0));
            fails(Errno.EINVAL, m.attributes(0, PAGE, PRIVATE, 0));
        }
    }

    @EveryKernel
    void aDefaultMachineChecksItsArgumentsAllTheSame(KernelUnderTest kernel) {
        try (KvmMachine m = plain(kernel, true)) {
            fails(Errno.EINVAL, m.attributes(0, 0, 0, 0));
            fails(Errno.EINVAL, m.attributes(1, PAGE, 0, 0));
            fails(Errno.EINVAL, m.attributes(0, PAGE, 0, 1));
        }
    }

    @EveryKernel
    void thereAreNoFlags(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.attributes(0, PAGE, PRIVATE, 1));
            fails(Errno.EINVAL, m.attributes(0, PAGE, 0, 1L << 63));
        }
    }

    @EveryKernel
    void privateIsTheOnlyAttribute(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            for (int bit = 0; bit < 64; bit++) {
                int answer = m.attributes(0, PAGE, 1L << bit, 0);
                if (1L << bit == PRIVATE) {
                    ok(answer);
                } else {
                    fails(Errno.EINVAL, answer);
                }
            }
            fails(Errno.EINVAL, m.attributes(0, PAGE, PRIVATE | 1, 0));
        }
    }

    @EveryKernel
    void aRangeIsNotEmpty(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.attributes(0, 0, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(0x10000, 0, 0, 0));
        }
    }

    @EveryKernel
    void aRangeIsWholePages(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.attributes(1, PAGE, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(0x800, PAGE, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(0, 1, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(0, PAGE + 1, PRIVATE, 0));
        }
    }

    @EveryKernel
    void aRangeDoesNotWrap(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.attributes(-PAGE, 2 * PAGE, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(-PAGE, PAGE, PRIVATE, 0));
            fails(Errno.EINVAL, m.attributes(PAGE, -PAGE, PRIVATE, 0));
        }
    }

    @EveryKernel
    void aRangeMayLieWhereNoMemoryCanBe(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.attributes(1L << 52, PAGE, PRIVATE, 0));
            ok(m.attributes(-2 * PAGE, PAGE, PRIVATE, 0));
        }
    }

    @EveryKernel
    void aRangeNeedsNoSlot(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            // Linux keeps an entry for each page and walks them all: a range of terabytes would take it minutes.
            ok(m.attributes(1L << 40, 16 << 20, PRIVATE, 0));
            ok(m.attributes((1L << 40) - (8 << 20), 32 << 20, 0, 0));
            ok(m.attributes(0, 16 << 20, 0, 0));
        }
    }

    @EveryKernel
    void theSameTwiceIsNoError(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.attributes(0, 4 * PAGE, PRIVATE, 0));
            ok(m.attributes(0, 4 * PAGE, PRIVATE, 0));
            ok(m.attributes(PAGE, PAGE, PRIVATE, 0));
            ok(m.attributes(0, 4 * PAGE, 0, 0));
            ok(m.attributes(0, 4 * PAGE, 0, 0));
        }
    }

    @EveryKernel
    void rangesMayOverlap(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.attributes(0, 4 * PAGE, PRIVATE, 0));
            ok(m.attributes(2 * PAGE, 4 * PAGE, 0, 0));
            ok(m.attributes(PAGE, 8 * PAGE, PRIVATE, 0));
            ok(m.attributes(0, 16 * PAGE, 0, 0));
        }
    }

    @EveryKernel
    void thePointerIsLookedAtFirst(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void onlyAMachineHasThem(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_SET_MEMORY_ATTRIBUTES();
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, request, m.struct(32)));
            fails(Errno.EINVAL, m.sys.ioctl(m.vcpu(0).fd, request, m.struct(32)));
        }
    }
}
