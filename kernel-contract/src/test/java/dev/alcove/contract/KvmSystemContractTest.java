// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.bindings.kvm.kvm_msr_list;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** /dev/kvm itself, creation of machines and vCPUs, and what unknown requests are answered. */
@Surface("kvm system")
@Timeout(60)
final class KvmSystemContractTest {
    private static final int BAD_POINTER = 8;

    @EveryKvm
    void systemIoctls(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            Syscalls sys = m.sys;
            assertEquals(12, sys.ioctl(m.kvmFd, kvm.KVM_GET_API_VERSION(), 0L));
            fails(Errno.EINVAL, sys.ioctl(m.kvmFd, kvm.KVM_GET_API_VERSION(), 1L));
            assertEquals(12288, sys.ioctl(m.kvmFd, kvm.KVM_GET_VCPU_MMAP_SIZE(), 0L));
            fails(Errno.EINVAL, sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 31L));
            fails(Errno.EINVAL, sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), -1L));
            fails(Errno.EINVAL, sys.ioctl(m.kvmFd, 0x9999, 0L));
            fails(Errno.ENOTTY, sys.ioctl(m.fd, 0x9999, 0L));
            int vcpu = m.own(sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
            fails(Errno.EINVAL, sys.ioctl(vcpu, 0x9999, 0L));
            assertEquals(Linux.FD_CLOEXEC, sys.fcntl(m.fd, Linux.F_GETFD, 0));
            assertEquals(Linux.FD_CLOEXEC, sys.fcntl(vcpu, Linux.F_GETFD, 0));
        }
    }

    @EveryKvm
    void vcpuNumbers(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            Syscalls sys = m.sys;
            int vcpu = (int) ok(sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
            fails(Errno.EEXIST, sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
            fails(Errno.EINVAL, sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 1L << 20));
            fails(Errno.EINVAL, sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), (long) m.has(128)));
            ok(sys.close(vcpu));
            fails(Errno.EEXIST, sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
        }
    }

    @EveryKvm
    void capabilities(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            assertEquals(32764, m.has(10));
            assertEquals(1, m.has(3));
            assertEquals(1, m.has(16));
            assertEquals(1, m.has(136), "immediate exit");
            assertEquals(0, m.has(233), "memory attributes of a machine without private memory");
            assertEquals(KvmMachine.before(m.sys, 6, 18) ? 0 : 3, m.has(244), "guest_memfd flags");
            assertEquals(4096, m.has(201) & 4096, "hypercall exits");
            assertEquals(0, m.has(60000));
            fails(Errno.EINVAL, m.enable(201, 1));
            ok(m.enable(201, 4096));
            fails(Errno.EINVAL, m.enable(60000, 0));
        }
    }

    @EveryKvm
    void supportedCpuid(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int request = (int) kvm.KVM_GET_SUPPORTED_CPUID();
            MemorySegment s = m.struct(kvm_cpuid2.sizeof() + 256 * kvm_cpuid_entry2.sizeof());
            fails(Errno.EFAULT, m.sys.ioctl(m.kvmFd, request, BAD_POINTER));
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
            kvm_cpuid2.nent(s, 1);
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
            kvm_cpuid2.nent(s, 256);
            ok(m.sys.ioctl(m.kvmFd, request, s));
            assertTrue(kvm_cpuid2.nent(s) > 3 && kvm_cpuid2.nent(s) < 256);
            boolean hypervisor = false;
            for (int i = 0; i < kvm_cpuid2.nent(s); i++) {
                MemorySegment e = kvm_cpuid_entry2.asSlice(s.asSlice(kvm_cpuid2.sizeof()), i);
                hypervisor |= kvm_cpuid_entry2.function(e) == 0x40000000 && kvm_cpuid_entry2.ebx(e) == 0x4b4d564b;
            }
            assertTrue(hypervisor, "leaf 0x40000000");
        }
    }

    @EveryKvm
    void msrList(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int request = (int) kvm.KVM_GET_MSR_INDEX_LIST();
            MemorySegment s = m.struct(kvm_msr_list.sizeof() + 4096);
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
            int count = kvm_msr_list.nmsrs(s);
            assertTrue(count > 5 && count < 1000);
            ok(m.sys.ioctl(m.kvmFd, request, s));
            assertEquals(count, kvm_msr_list.nmsrs(s));
        }
    }

    @EveryKvm
    void theMachineOutlivesItsDescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            Syscalls sys = m.sys;
            int other = (int) ok(sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            int vcpu = (int) ok(sys.ioctl(other, kvm.KVM_CREATE_VCPU(), 0L));
            ok(sys.close(other));
            MemorySegment regs = m.struct(144);
            ok(sys.ioctl(vcpu, (int) kvm.KVM_GET_REGS(), regs));
            ok(sys.close(vcpu));
        }
    }
}
