// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_enc_region;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;

/** Memory encryption on machines that have none. */
@Surface("kvm system")
@Timeout(60)
final class KvmLaunchContractTest {
    private static KvmMachine machine(KernelUnderTest kernel, int type) {
        return new KvmMachine(kernel, type);
    }

    @EveryKernel
    void thereIsNoEncryptionToCommand(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("a processor without SEV", (m.system(235) & 0x3c) == 0 ? 0 : -Errno.EEXIST);
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_OP(), m.struct(24)));
        }
    }

    @EveryKernel
    void thereIsNoEncryptionToAskFor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("a processor without SEV", (m.system(235) & 0x3c) == 0 ? 0 : -Errno.EEXIST);
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_OP(), 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_OP(), KvmMachine.BAD_POINTER));
        }
    }

    private static MemorySegment region(KvmMachine m) {
        MemorySegment s = m.struct(kvm_enc_region.sizeof());
        kvm_enc_region.addr(s, m.memory(1).address());
        kvm_enc_region.size(s, KvmMachine.PAGE);
        return s;
    }

    @EveryKernel
    void noRegionCanBeRegistered(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.DEFAULT)) {
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_REG_REGION(), region(m)));
        }
    }

    @EveryKernel
    void noRegionCanBeUnregistered(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.DEFAULT)) {
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_UNREG_REGION(), region(m)));
        }
    }

    @EveryKernel
    void aSoftwareProtectedMachineHasNoEncryptionEither(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.SW_PROTECTED)) {
            kernel.needs("a processor without SEV", (m.system(235) & 0x3c) == 0 ? 0 : -Errno.EEXIST);
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_OP(), m.struct(24)));
            fails(Errno.ENOTTY, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_REG_REGION(), region(m)));
        }
    }

    @EveryKernel
    void thePointerOfARegionIsLookedAtFirst(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel, KvmMachine.DEFAULT)) {
            long bad = KvmMachine.BAD_POINTER;
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_REG_REGION(), bad));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_MEMORY_ENCRYPT_UNREG_REGION(), bad));
        }
    }
}
