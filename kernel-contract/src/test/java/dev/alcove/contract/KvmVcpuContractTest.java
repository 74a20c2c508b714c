// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.bindings.kvm.kvm_interrupt;
import dev.alcove.bindings.kvm.kvm_mp_state;
import dev.alcove.bindings.kvm.kvm_msr_entry;
import dev.alcove.bindings.kvm.kvm_msrs;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_signal_mask;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** vCPUs that do not run: creation, the pages they share, their ioctls and the errors of these. */
@Surface("run/exits")
@Timeout(60)
final class KvmVcpuContractTest {
    private static final long BAD_POINTER = KvmMachine.BAD_POINTER;

    private static KvmMachine machine(KernelUnderTest kernel) {
        return new KvmMachine(kernel, KvmMachine.DEFAULT);
    }

    private static int create(KvmMachine m, long id) {
        return m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), id);
    }

    @EveryKernel
    void numbersAreLimited(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int most = m.has(128);
            fails(Errno.EINVAL, create(m, most));
            fails(Errno.EINVAL, create(m, -1));
            fails(Errno.EINVAL, create(m, 1L << 32));
            m.own(create(m, most - 1));
        }
    }

    @EveryKernel
    void numbersAreUsedOnce(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            m.own(create(m, 0));
            m.own(create(m, 7));
            fails(Errno.EEXIST, create(m, 0));
            fails(Errno.EEXIST, create(m, 7));
        }
    }

    @EveryKernel
    void aNumberStaysUsedAfterClose(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.sys.close((int) ok(create(m, 0))));
            fails(Errno.EEXIST, create(m, 0));
        }
    }

    @EveryKernel
    void aNumberStaysFreeWhenThereIsNoDescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            m.own(create(m, 0));
            fails(Errno.EMFILE, m.withoutDescriptors(() -> create(m, 1)));
            m.own(create(m, 1));
        }
    }

    @EveryKernel
    void theDescriptorEndsWithExec(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            assertEquals(Linux.FD_CLOEXEC, m.sys.fcntl(v.fd, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR, m.sys.fcntl(v.fd, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void theVcpuKeepsItsMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int other = (int) ok(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            int vcpu = m.own(m.sys.ioctl(other, kvm.KVM_CREATE_VCPU(), 0L));
            ok(m.sys.close(other));
            ok(m.sys.ioctl(vcpu, (int) kvm.KVM_GET_REGS(), m.struct(144)));
        }
    }

    @EveryKernel
    void unknownRequests(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, 0x9999, 0L));
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, 0xaeff, 0L));
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, kvm.KVM_CREATE_VCPU(), 1L));
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, kvm.KVM_CHECK_EXTENSION(), 3L));
        }
    }

    @EveryKernel
    void runningHasNoArgument(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.vcpu(0).fd, kvm.KVM_RUN(), 1L));
        }
    }

    @EveryKernel
    void itsPagesCanBeMappedManyTimes(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment second = m.map(3, Linux.MAP_SHARED, v.fd);
            kvm_run.immediate_exit(second, (byte) 1);
            assertEquals(1, kvm_run.immediate_exit(v.run));
        }
    }

    @EveryKernel
    void behindItsPagesIsNothing(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment pages = m.map(4, Linux.MAP_SHARED, m.vcpu(0).fd);
            assertEquals(0, pages.get(ValueLayout.JAVA_INT, 2 * 4096));
            assertThrows(InternalError.class, () -> assertEquals(0, pages.get(ValueLayout.JAVA_INT, 3 * 4096)));
        }
    }

    @EveryKernel
    void aPrivateMappingOfItsPagesIsACopy(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment copy = m.map(1, Linux.MAP_PRIVATE, v.fd);
            kvm_run.immediate_exit(copy, (byte) 1);
            assertEquals(0, kvm_run.immediate_exit(v.run));
        }
    }

    @EveryKernel
    void itsPagesOutliveItsDescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            kvm_run.immediate_exit(v.run, (byte) 1);
            m.close(v.fd);
            assertEquals(1, kvm_run.immediate_exit(v.run));
        }
    }

    @EveryKernel
    void registersNeedAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int v = m.vcpu(0).fd;
            fails(Errno.EFAULT, m.sys.ioctl(v, (int) kvm.KVM_GET_REGS(), BAD_POINTER));
            fails(Errno.EFAULT, m.sys.ioctl(v, (int) kvm.KVM_SET_REGS(), BAD_POINTER));
            fails(Errno.EFAULT, m.sys.ioctl(v, (int) kvm.KVM_GET_SREGS(), BAD_POINTER));
            fails(Errno.EFAULT, m.sys.ioctl(v, (int) kvm.KVM_SET_SREGS(), BAD_POINTER));
        }
    }

    @EveryKernel
    void theSecondFlagIsAlwaysOne(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            kvm_regs.rflags(v.regs(), 0);
            v.setRegs();
            assertEquals(2, kvm_regs.rflags(v.regs()));
        }
    }

    @EveryKernel
    void aVcpuWithoutApicIsRunnable(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(0, m.vcpu(0).mpState());
            assertEquals(0, m.vcpu(1).mpState());
        }
    }

    @EveryKernel
    void aVcpuWithoutApicHasNoOtherState(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = m.struct(kvm_mp_state.sizeof());
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MP_STATE(), s));
            for (int state : new int[] {1, 2, 3, 4, 5, 77}) {
                kvm_mp_state.mp_state(s, state);
                fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MP_STATE(), s));
            }
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MP_STATE(), BAD_POINTER));
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MP_STATE(), BAD_POINTER));
        }
    }

    @EveryKernel
    void aVcpuWithoutApicHasNoApicRegisters(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_LAPIC(), m.struct(1024)));
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_LAPIC(), m.struct(1024)));
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_LAPIC(), BAD_POINTER));
        }
    }

    @EveryKernel
    void interruptVectorsAreBelow256(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = m.struct(kvm_interrupt.sizeof());
            kvm_interrupt.irq(s, 256);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), s));
            kvm_interrupt.irq(s, -1);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), s));
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), BAD_POINTER));
            kvm_interrupt.irq(s, 255);
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), s));
        }
    }

    @EveryKernel
    void aSignalMaskHasEightBytes(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            int request = (int) kvm.KVM_SET_SIGNAL_MASK();
            MemorySegment s = m.struct(16);
            for (int length : new int[] {0, 4, 16, -1}) {
                kvm_signal_mask.len(s, length);
                fails(Errno.EINVAL, m.sys.ioctl(v.fd, request, s));
            }
            kvm_signal_mask.len(s, 8);
            ok(m.sys.ioctl(v.fd, request, s));
            ok(m.sys.ioctl(v.fd, request, 0L));
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, request, BAD_POINTER));
        }
    }

    private static MemorySegment cpuid(KvmMachine m) {
        MemorySegment s = m.struct(kvm_cpuid2.sizeof() + 300 * kvm_cpuid_entry2.sizeof());
        kvm_cpuid2.nent(s, 256);
        ok(m.sys.ioctl(m.kvmFd, (int) kvm.KVM_GET_SUPPORTED_CPUID(), s));
        return s;
    }

    @EveryKernel
    void cpuidHasAtMost256Leaves(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = cpuid(m);
            kvm_cpuid2.nent(s, 257);
            fails(Errno.E2BIG, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), s));
            kvm_cpuid2.nent(s, -1);
            fails(Errno.E2BIG, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), s));
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), BAD_POINTER));
        }
    }

    @EveryKernel
    void cpuidIsReadBack(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = cpuid(m);
            int leaves = kvm_cpuid2.nent(s);
            kvm_cpuid2.nent(s, leaves - 1);
            fails(Errno.E2BIG, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_CPUID2(), s));
            kvm_cpuid2.nent(s, 256);
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_GET_CPUID2(), s));
            assertEquals(leaves, kvm_cpuid2.nent(s));
        }
    }

    @EveryKernel
    void cpuidMayChangeUntilTheGuestWasEntered(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = cpuid(m);
            kvm_run.immediate_exit(v.run, (byte) 1);
            fails(Errno.EINTR, v.run());
            kvm_cpuid2.nent(s, kvm_cpuid2.nent(s) - 1);
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), s));
        }
    }

    @EveryKernel
    void cpuidStaysOnceTheGuestWasEntered(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment memory = m.memory(1);
            memory.set(ValueLayout.JAVA_BYTE, 0, (byte) 0xf4);
            ok(m.region1(0, 0, 0x1000, 4096, memory.address()));
            KvmVcpu v = m.vcpu(0).realMode(0x1000);
            v.runTo(KvmVcpu.HLT);
            MemorySegment s = cpuid(m);
            if (m.has(236) == 1) {
                // A KVM without two-dimensional paging may have changed what was set.
                ok(m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), s));
            }
            kvm_cpuid2.nent(s, kvm_cpuid2.nent(s) - 1);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_CPUID2(), s));
        }
    }

    private static MemorySegment msrs(KvmMachine m, int... indexes) {
        MemorySegment s = m.struct(kvm_msrs.sizeof() + indexes.length * kvm_msr_entry.sizeof());
        kvm_msrs.nmsrs(s, indexes.length);
        for (int i = 0; i < indexes.length; i++) {
            kvm_msr_entry.index(kvm_msr_entry.asSlice(s.asSlice(kvm_msrs.sizeof()), i), indexes[i]);
        }
        return s;
    }

    private static long msr(MemorySegment s, int at) {
        return kvm_msr_entry.data(kvm_msr_entry.asSlice(s.asSlice(kvm_msrs.sizeof()), at));
    }

    @EveryKernel
    void msrsAreReadUpToTheFirstUnknown(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = msrs(m, 0x277, 0x7fff_0000, 0x277);
            assertEquals(1, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), s));
            assertEquals(0x0007040600070406L, msr(s, 0), "the page attribute table after reset");
            assertEquals(0, msr(s, 2));
        }
    }

    @EveryKernel
    void msrsKeepWhatIsSet(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = msrs(m, 0xc0000102);
            kvm_msr_entry.data(kvm_msr_entry.asSlice(s.asSlice(kvm_msrs.sizeof()), 0), 0x123456789abcL);
            assertEquals(1, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MSRS(), s));
            MemorySegment back = msrs(m, 0xc0000102);
            assertEquals(1, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), back));
            assertEquals(0x123456789abcL, msr(back, 0));
        }
    }

    @EveryKernel
    void msrsAreFewerThan256(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = m.vcpu(0);
            MemorySegment s = msrs(m, new int[256]);
            fails(Errno.E2BIG, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), s));
            fails(Errno.E2BIG, m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MSRS(), s));
            kvm_msrs.nmsrs(s, 0);
            assertEquals(0, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), s));
            fails(Errno.EFAULT, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), BAD_POINTER));
        }
    }

    @EveryKernel
    void timeGoesOn(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertTrue(m.sys.ioctl(m.vcpu(0).fd, kvm.KVM_GET_TSC_KHZ(), 0L) > 0);
        }
    }

    @EveryKernel
    void theBootProcessorIsChosenBeforeThereAreAny(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.sys.ioctl(m.fd, kvm.KVM_SET_BOOT_CPU_ID(), 3L));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_SET_BOOT_CPU_ID(), m.has(128) + 1L));
            m.own(create(m, 0));
            fails(Errno.EBUSY, m.sys.ioctl(m.fd, kvm.KVM_SET_BOOT_CPU_ID(), 0L));
            fails(Errno.EBUSY, m.sys.ioctl(m.fd, kvm.KVM_SET_BOOT_CPU_ID(), -1L));
        }
    }

    @EveryKernel
    void theIdentityMapIsPlacedBeforeThereAreAny(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int request = (int) kvm.KVM_SET_IDENTITY_MAP_ADDR();
            MemorySegment address = m.struct(8);
            address.set(ValueLayout.JAVA_LONG, 0, 0xfeffc000L);
            ok(m.sys.ioctl(m.fd, request, address));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, request, BAD_POINTER));
            m.own(create(m, 0));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, request, address));
        }
    }

    @EveryKernel
    void theTaskStateSegmentIsBelow4Gib(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(m.sys.ioctl(m.fd, kvm.KVM_SET_TSS_ADDR(), 0xfffbd000L));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_SET_TSS_ADDR(), 0xffffe000L));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_SET_TSS_ADDR(), 1L << 32));
        }
    }
}
