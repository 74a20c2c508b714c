// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;

/** Memslots, with and without a guest_memfd: every check of KVM_SET_USER_MEMORY_REGION and of version 2. */
@Surface("kvm memslots")
@Timeout(60)
final class KvmMemslotContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int GMEM = KvmMachine.GMEM;

    @EveryKvm
    void version1(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            long u = m.memory(4).address();
            fails(Errno.EINVAL, m.region1(0, 4, 0, PAGE, u));
            fails(Errno.EINVAL, m.region1(0, 0, 1, PAGE, u));
            fails(Errno.EINVAL, m.region1(0, 0, 0, 1, u));
            fails(Errno.EINVAL, m.region1(0, 0, 0, PAGE, u + 1));
            fails(Errno.EINVAL, m.region1(0, 0, 0, PAGE, 0xffff800000000000L));
            fails(Errno.EINVAL, m.region1(32764, 0, 0, PAGE, u));
            fails(Errno.EINVAL, m.region1(0x20000, 0, 0, PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, -PAGE, 2 * PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, -PAGE, PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, 1L << 52, PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, 0, 0, u));
            ok(m.region1(5, 0, 0x1000, PAGE, u));
            ok(m.region1(5, 0, 0x3000, PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, 0x3000, 2 * PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 2, 0x3000, PAGE, u));
            ok(m.region1(5, 1, 0x3000, PAGE, u));
            fails(Errno.EINVAL, m.region1(5, 0, 0x3000, PAGE, u + PAGE));
            fails(Errno.EEXIST, m.region1(6, 0, 0x3000, PAGE, u));
            ok(m.region1(6, 0, 0x4000, PAGE, u));
            fails(Errno.EEXIST, m.region1(5, 0, 0x4000, PAGE, u));
            fails(Errno.EINVAL, m.region1(6, 0, 0, 1L << 43, u));
            fails(Errno.EINVAL, m.region1(7, 0, 1L << 44, 1L << 43, 0));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), 8));
        }
    }

    @EveryKvm
    void theSecondAddressSpaceNeedsItsCapability(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            long u = m.memory(1).address();
            if (m.has(118) < 2) {
                fails(Errno.EINVAL, m.region1(0x10000, 0, 0, PAGE, u));
                fails(Errno.EINVAL, m.region1(0x10000, 0, 0, 0, u));
            } else {
                ok(m.region1(0x10000, 0, 0, PAGE, u));
            }
        }
    }

    @EveryKvm
    void version2WithGuestMemfd(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("guest_memfd in a default machine", m.has(234) == 1 ? 0 : -Errno.EINVAL);
            long u = m.memory(32).address();
            int g = m.own(m.gmem(8 * PAGE, 0));
            fails(Errno.EBADF, m.region(0, GMEM, 0, PAGE, u, -1, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, PAGE, u, m.kvmFd, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, PAGE, u, m.fd, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, PAGE, u, g, 1));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, PAGE, u, g, 8 * PAGE));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, 9 * PAGE, u, g, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, PAGE, u, g, -PAGE));
            fails(Errno.EINVAL, m.region(0, GMEM | 1, 0, PAGE, u, g, 0));
            fails(Errno.EINVAL, m.region(0, GMEM | 2, 0, PAGE, u, g, 0));
            fails(Errno.EINVAL, m.region(0, 8, 0, PAGE, u, g, 0));
            ok(m.region(0, GMEM, 0, 2 * PAGE, u, g, 0));
            ok(m.region(1, GMEM, 0x100000, PAGE, u, g, 4 * PAGE));
            int conflict = KvmMachine.before(m.sys, 7, 2) ? Errno.EINVAL : Errno.EEXIST;
            fails(conflict, m.region(2, GMEM, 0x200000, PAGE, u, g, PAGE));
            fails(conflict, m.region(2, GMEM, 0x200000, 4 * PAGE, u, g, 2 * PAGE));
            ok(m.region(2, GMEM, 0x200000, 2 * PAGE, u, g, 2 * PAGE));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, 2 * PAGE, u, g, 0));
            fails(Errno.EINVAL, m.region(0, 0, 0, 2 * PAGE, u, 0, 0));
            fails(Errno.EINVAL, m.region(0, 1, 0, 2 * PAGE, u, 0, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0x300000, 2 * PAGE, u, g, 0));
            ok(m.region(0, GMEM, 0, 0, 0, -1, 0));
            fails(Errno.EINVAL, m.region(0, GMEM, 0, 0, 0, -1, 0));
            ok(m.region(0, GMEM, 0, 2 * PAGE, u, g, 0));
        }
    }

    @EveryKvm
    void theRangeCheckOfABindingOverflowsBefore72(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("guest_memfd in a default machine", m.has(234) == 1 ? 0 : -Errno.EINVAL);
            long u = m.memory(1).address();
            int g = m.own(m.gmem(8 * PAGE, 0));
            int answer = m.region(0, GMEM, 0, PAGE, u, g, 0x7ffffffffffff000L);
            if (KvmMachine.before(m.sys, 7, 2)) {
                ok(answer);
            } else {
                fails(Errno.EINVAL, answer);
            }
        }
    }

    @EveryKvm
    void anotherMachinesGuestMemfd(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("guest_memfd in a default machine", m.has(234) == 1 ? 0 : -Errno.EINVAL);
            long u = m.memory(1).address();
            int g = m.own(m.gmem(PAGE, 0));
            int other = m.own(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            MemorySegment s = m.struct(160);
            s.set(ValueLayout.JAVA_INT, 4, GMEM);
            s.set(ValueLayout.JAVA_LONG, 16, PAGE);
            s.set(ValueLayout.JAVA_LONG, 24, u);
            s.set(ValueLayout.JAVA_INT, 40, g);
            fails(Errno.EINVAL, m.sys.ioctl(other, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), s));
        }
    }

    @EveryKvm
    void aSlotOutlivesItsGuestMemfd(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("guest_memfd in a default machine", m.has(234) == 1 ? 0 : -Errno.EINVAL);
            long u = m.memory(1).address();
            int g = m.own(m.gmem(PAGE, KvmMachine.FLAG_MMAP));
            ok(m.region(8, GMEM, 0x900000, PAGE, u, g, 0));
            m.close(g);
            ok(m.region(8, GMEM, 0x900000, 0, 0, -1, 0));
        }
    }

    @EveryKvm
    void allSlotsCanBeUsed(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int slots = m.has(10);
            long u = m.memory(1).address();
            // One struct for all: an arena entry for each of 32764 calls would be the test's own waste.
            MemorySegment s = m.struct(32);
            s.set(ValueLayout.JAVA_LONG, 16, PAGE);
            s.set(ValueLayout.JAVA_LONG, 24, u);
            int step = slots / 1000;
            for (int i = 0; i < slots; i += step) {
                s.set(ValueLayout.JAVA_INT, 0, i);
                s.set(ValueLayout.JAVA_LONG, 8, i * PAGE);
                ok(m.sys.ioctl(m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s));
            }
            s.set(ValueLayout.JAVA_INT, 0, slots);
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s));
        }
    }
}
