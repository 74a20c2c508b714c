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
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** /dev/kvm itself, creation of machines, and what their descriptors are. */
@Surface("kvm system")
@Timeout(60)
final class KvmSystemContractTest {
    private static KvmMachine machine(KernelUnderTest kernel) {
        return new KvmMachine(kernel, KvmMachine.DEFAULT);
    }

    @EveryKernel
    void theInterfaceIsVersion12(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(12, m.sys.ioctl(m.kvmFd, kvm.KVM_GET_API_VERSION(), 0L));
        }
    }

    @EveryKernel
    void theQuestionForTheVersionHasNoArgument(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_GET_API_VERSION(), 1L));
        }
    }

    @EveryKernel
    void aVcpuSharesThreePages(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(12288, m.sys.ioctl(m.kvmFd, kvm.KVM_GET_VCPU_MMAP_SIZE(), 0L));
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_GET_VCPU_MMAP_SIZE(), 1L));
        }
    }

    @EveryKernel
    void machinesAreOfTheTypesThatAreOffered(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int types = m.system(235);
            assertEquals(1, types & 1, "the default type");
            for (long type = 0; type < 40; type++) {
                int vm = m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), type);
                if (type < 32 && (types >>> type & 1) != 0) {
                    ok(m.sys.close((int) ok(vm)));
                } else {
                    fails(Errno.EINVAL, vm);
                }
            }
        }
    }

    @EveryKernel
    void theTypeHas64Bits(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), -1L));
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 1L << 32));
        }
    }

    @EveryKernel
    void unknownRequestsOfTheSystem(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, 0x9999, 0L));
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, 0xaeff, 0L));
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VCPU(), 0L));
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, kvm.KVM_RUN(), 0L));
        }
    }

    @EveryKernel
    void unknownRequestsOfAMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, 0x9999, 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, 0xaeff, 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, kvm.KVM_CREATE_VM(), 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, kvm.KVM_RUN(), 0L));
        }
    }

    @EveryKernel
    void aMachinesDescriptorEndsWithExec(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(Linux.FD_CLOEXEC, m.sys.fcntl(m.fd, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR, m.sys.fcntl(m.fd, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void descriptorsOfKvmCannotBeReadOrWritten(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            Syscalls sys = m.sys;
            MemorySegment buffer = m.struct(8);
            for (int descriptor : new int[] {m.kvmFd, m.fd, m.vcpu(0).fd}) {
                fails(Errno.EINVAL, sys.read(descriptor, buffer));
                fails(Errno.EINVAL, sys.write(descriptor, buffer));
                fails(Errno.EINVAL, sys.ftruncate(descriptor, 4096));
            }
        }
    }

    @EveryKernel
    void descriptorsOfKvmHaveAPositionThatStays(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            for (int descriptor : new int[] {m.kvmFd, m.fd, m.vcpu(0).fd}) {
                assertEquals(0, m.sys.lseek(descriptor, 77, Linux.SEEK_SET));
                assertEquals(0, m.sys.lseek(descriptor, -1, Linux.SEEK_END));
            }
        }
    }

    @EveryKernel
    void onlyTheSystemHasPositionedReads(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment buffer = m.struct(8);
            fails(Errno.EINVAL, m.sys.pread(m.kvmFd, buffer, 0));
            fails(Errno.ESPIPE, m.sys.pread(m.fd, buffer, 0));
            fails(Errno.ESPIPE, m.sys.pwrite(m.fd, buffer, 0));
        }
    }

    @EveryKernel
    void theSystemAndAMachineCannotBeMapped(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.ENODEV, m.sys.mmap(0, 4096, Linux.PROT_READ, Linux.MAP_SHARED, m.kvmFd, 0));
            fails(Errno.ENODEV, m.sys.mmap(0, 4096, Linux.PROT_READ, Linux.MAP_SHARED, m.fd, 0));
        }
    }

    @EveryKernel
    void nothingOfAMachineIsExecuted(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            kernel.needs("anonymous files without execution", KvmMachine.before(m.sys, 6, 18) ? -Errno.EINVAL : 0);
            int execute = Linux.PROT_READ | Linux.PROT_EXEC;
            fails(Errno.EPERM, m.sys.mmap(0, 4096, execute, Linux.MAP_SHARED, m.fd, 0));
            fails(Errno.EPERM, m.sys.mmap(0, 4096, execute, Linux.MAP_SHARED, m.vcpu(0).fd, 0));
        }
    }

    @EveryKernel
    void aMachineIsAnAnonymousFile(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment stat = m.struct(144);
            for (int descriptor : new int[] {m.fd, m.vcpu(0).fd}) {
                ok(m.sys.fstat(descriptor, stat));
                assertEquals(0600, stat.get(ValueLayout.JAVA_INT, 24), "mode");
                assertEquals(0, stat.get(ValueLayout.JAVA_LONG, 48), "size");
            }
        }
    }

    @EveryKernel
    void machinesAreIndependent(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int other = m.otherMachine();
            m.own(m.sys.ioctl(other, kvm.KVM_CREATE_VCPU(), 0L));
            m.own(m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
        }
    }

    @EveryKernel
    void aMachineOutlivesTheSystemsDescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int system = kernel.open("/dev/kvm");
            int vm = m.own(m.sys.ioctl(system, kvm.KVM_CREATE_VM(), 0L));
            ok(m.sys.close(system));
            m.own(m.sys.ioctl(vm, kvm.KVM_CREATE_VCPU(), 0L));
        }
    }

    @EveryKernel
    void supportedCpuidNeedsAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_GET_SUPPORTED_CPUID();
            fails(Errno.EFAULT, m.sys.ioctl(m.kvmFd, request, KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void supportedCpuidNeedsRoom(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_GET_SUPPORTED_CPUID();
            MemorySegment s = m.struct(kvm_cpuid2.sizeof() + 256 * kvm_cpuid_entry2.sizeof());
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
            kvm_cpuid2.nent(s, 1);
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
        }
    }

    @EveryKernel
    void supportedCpuidNamesTheHypervisor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_cpuid2.sizeof() + 256 * kvm_cpuid_entry2.sizeof());
            kvm_cpuid2.nent(s, 256);
            ok(m.sys.ioctl(m.kvmFd, (int) kvm.KVM_GET_SUPPORTED_CPUID(), s));
            assertTrue(kvm_cpuid2.nent(s) > 3 && kvm_cpuid2.nent(s) < 256);
            boolean hypervisor = false;
            for (int i = 0; i < kvm_cpuid2.nent(s); i++) {
                MemorySegment e = kvm_cpuid_entry2.asSlice(s.asSlice(kvm_cpuid2.sizeof()), i);
                hypervisor |= kvm_cpuid_entry2.function(e) == 0x40000000 && kvm_cpuid_entry2.ebx(e) == 0x4b4d564b;
            }
            assertTrue(hypervisor, "leaf 0x40000000");
        }
    }

    @EveryKernel
    void theListOfMsrsTellsItsLength(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_GET_MSR_INDEX_LIST();
            MemorySegment s = m.struct(kvm_msr_list.sizeof() + 4096);
            fails(Errno.E2BIG, m.sys.ioctl(m.kvmFd, request, s));
            int count = kvm_msr_list.nmsrs(s);
            assertTrue(count > 5 && count < 1000);
            ok(m.sys.ioctl(m.kvmFd, request, s));
            assertEquals(count, kvm_msr_list.nmsrs(s));
        }
    }

    @EveryKernel
    void theListOfMsrsNeedsAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_GET_MSR_INDEX_LIST();
            fails(Errno.EFAULT, m.sys.ioctl(m.kvmFd, request, KvmMachine.BAD_POINTER));
        }
    }
}
