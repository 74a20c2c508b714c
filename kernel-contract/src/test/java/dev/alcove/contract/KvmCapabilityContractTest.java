// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** KVM_CHECK_EXTENSION of /dev/kvm and of machines, and KVM_ENABLE_CAP. */
@Surface("kvm system")
@Timeout(60)
final class KvmCapabilityContractTest {
    private static final int EXIT_HYPERCALL = 201;
    private static final int HALT_POLL = 182;
    private static final int MAX_VCPU_ID = 128;

    private static KvmMachine machine(KernelUnderTest kernel) {
        return new KvmMachine(kernel, KvmMachine.DEFAULT);
    }

    @EveryKernel
    void whatAMachineMonitorStandsOn(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(1, m.has(3), "USER_MEMORY");
            assertEquals(1, m.has(16), "SYNC_MMU");
            assertEquals(1, m.has(21), "DESTROY_MEMORY_REGION_WORKS");
            assertEquals(1, m.has(30), "JOIN_MEMORY_REGIONS_WORKS");
            assertEquals(1, m.has(81), "READONLY_MEM");
            assertEquals(1, m.has(105), "CHECK_EXTENSION_VM");
            assertEquals(1, m.has(136), "IMMEDIATE_EXIT");
        }
    }

    @EveryKernel
    void userMemory2(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(1, m.has(231));
            assertEquals(1, m.system(231));
        }
    }

    @EveryKernel
    void memoryFaultInfo(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(1, m.has(232));
            assertEquals(1, m.system(232));
        }
    }

    @EveryKernel
    void memslots(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(32764, m.has(10));
            assertEquals(32764, m.system(10));
        }
    }

    @EveryKernel
    void attributesOfADefaultMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(0, m.has(KvmMachine.MEMORY_ATTRIBUTES));
        }
    }

    @EveryKernel
    void attributesWhereMemoryCanBePrivate(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            assertEquals(8, m.has(KvmMachine.MEMORY_ATTRIBUTES));
            assertEquals(8, m.system(KvmMachine.MEMORY_ATTRIBUTES));
        }
    }

    @EveryKernel
    void guestMemfdWhereMemoryCanBePrivate(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            assertEquals(1, m.has(KvmMachine.GUEST_MEMFD));
            assertEquals(1, m.system(KvmMachine.GUEST_MEMFD));
        }
    }

    @EveryKernel
    void guestMemfdOfADefaultMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(KvmMachine.before(m.sys, 6, 18) ? 0 : 1, m.has(KvmMachine.GUEST_MEMFD));
        }
    }

    @EveryKernel
    void guestMemfdFlagsOfADefaultMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int flags = KvmMachine.before(m.sys, 6, 18) ? 0 : 3;
            assertEquals(flags, m.has(KvmMachine.GUEST_MEMFD_FLAGS));
            assertEquals(flags, m.system(KvmMachine.GUEST_MEMFD_FLAGS));
        }
    }

    @EveryKernel
    void guestMemfdFlagsWhereMemoryCanBePrivate(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            assertEquals(KvmMachine.before(m.sys, 6, 18) ? 0 : 1, m.has(KvmMachine.GUEST_MEMFD_FLAGS));
        }
    }

    @EveryKernel
    void guestMemfdTakesTheFlagsThatAreOffered(KernelUnderTest kernel) {
        for (int type : new int[] {KvmMachine.DEFAULT, KvmMachine.SW_PROTECTED}) {
            try (KvmMachine m = machine(kernel)) {
                if ((m.system(235) >>> type & 1) == 0) {
                    continue;
                }
                int vm = m.own(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), (long) type));
                int offered = m.sys.ioctl(vm, kvm.KVM_CHECK_EXTENSION(), 244L);
                for (int flags = 0; flags < 16; flags++) {
                    MemorySegment s = m.struct(64);
                    s.set(ValueLayout.JAVA_LONG, 0, KvmMachine.PAGE);
                    s.set(ValueLayout.JAVA_LONG, 8, flags);
                    int file = m.sys.ioctl(vm, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s);
                    if ((flags & ~offered) != 0) {
                        fails(Errno.EINVAL, file);
                    } else {
                        m.own(file);
                    }
                }
            }
        }
    }

    @EveryKernel
    void preFaultOfMachinesWithTwoDimensionalPaging(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            assertEquals(1, m.has(236), "where there is private memory there is two-dimensional paging");
            assertEquals(1, m.system(236));
        }
    }

    @EveryKernel
    void addressSpaces(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(m.system(118), m.has(118), "the most there can be is what a default machine has");
        }
    }

    @EveryKernel
    void virtualProcessors(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertTrue(m.has(9) >= 1, "NR_VCPUS");
            assertTrue(m.has(66) >= m.has(9), "MAX_VCPUS");
            assertTrue(m.has(MAX_VCPU_ID) >= m.has(66), "MAX_VCPU_ID");
        }
    }

    @EveryKernel
    void hypercallExits(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(4096, m.has(EXIT_HYPERCALL));
            assertEquals(4096, m.system(EXIT_HYPERCALL));
        }
    }

    @EveryKernel
    void whatNobodyKnowsIsZero(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            for (int capability : new int[] {60000, Integer.MAX_VALUE, -1, 0x10003}) {
                assertEquals(0, m.has(capability));
                assertEquals(0, m.system(capability));
            }
            assertEquals(0, m.sys.ioctl(m.fd, kvm.KVM_CHECK_EXTENSION(), 1L << 32 | 3));
        }
    }

    @EveryKernel
    void whatNobodyKnowsCannotBeEnabled(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.enable(60000, 0));
            fails(Errno.EINVAL, m.enable(0, 0));
            fails(Errno.EINVAL, m.enable(3, 1));
            fails(Errno.EINVAL, m.enable(KvmMachine.GUEST_MEMFD, 1));
        }
    }

    @EveryKernel
    void enablingNeedsAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_ENABLE_CAP(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void enablingHasNoFlags(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_enable_cap.sizeof());
            kvm_enable_cap.cap(s, EXIT_HYPERCALL);
            kvm_enable_cap.flags(s, 1);
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_ENABLE_CAP(), s));
            kvm_enable_cap.cap(s, HALT_POLL);
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_ENABLE_CAP(), s));
        }
    }

    @EveryKernel
    void theTimeOfPollingHas32Bits(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            kernel.needs("KVM_CAP_HALT_POLL", m.has(HALT_POLL) == 0 ? -Errno.EINVAL : 0);
            ok(m.enable(HALT_POLL, 0));
            ok(m.enable(HALT_POLL, 0xffffffffL));
            fails(Errno.EINVAL, m.enable(HALT_POLL, 1L << 32));
            fails(Errno.EINVAL, m.enable(HALT_POLL, -1));
        }
    }

    @EveryKernel
    void theNumbersOfVcpusCanBeLimitedOnce(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.enable(MAX_VCPU_ID, m.has(MAX_VCPU_ID) + 1));
            ok(m.enable(MAX_VCPU_ID, 4));
            ok(m.enable(MAX_VCPU_ID, 4));
            fails(Errno.EINVAL, m.enable(MAX_VCPU_ID, 5));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 4L));
            m.own(m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 3L));
        }
    }

    @EveryKernel
    void theNumbersOfVcpusCannotBeLimitedBehindTheFirst(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            m.own(m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
            fails(Errno.EINVAL, m.enable(MAX_VCPU_ID, 4));
            ok(m.enable(MAX_VCPU_ID, m.has(MAX_VCPU_ID)));
        }
    }
}
