// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_msr_entry;
import dev.alcove.bindings.kvm.kvm_msrs;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** The registers that a VMM such as QEMU sets when it resets a vCPU: machine check banks, clocks, the deadline. */
@Surface("kvm vcpus")
@Timeout(60)
final class KvmMachineCheckContractTest {
    private static final int MCE = 31;
    private static final int BANKS = 32;
    private static final long CONTROL_PRESENT = 1L << 8;
    private static final int CAPABILITY = 0x179;
    private static final int STATUS = 0x17a;
    private static final int CONTROL = 0x17b;
    private static final int BANK = 0x400;
    private static final int INTERRUPT = 0x280;

    /** A machine with a vCPU that need not run. */
    private static final class Guest implements AutoCloseable {
        final KvmMachine m;
        final KvmVcpu v;

        Guest(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT);
            v = m.vcpu(0);
        }

        private MemorySegment one(int index, long value) {
            MemorySegment s = m.struct(kvm_msrs.sizeof() + kvm_msr_entry.sizeof());
            kvm_msrs.nmsrs(s, 1);
            MemorySegment entry = s.asSlice(kvm_msrs.sizeof(), kvm_msr_entry.sizeof());
            kvm_msr_entry.index(entry, index);
            kvm_msr_entry.data(entry, value);
            return s;
        }

        /** How many registers were taken: 0 or 1. */
        int set(int index, long value) {
            return m.sys.ioctl(v.fd, (int) kvm.KVM_SET_MSRS(), one(index, value));
        }

        long get(int index) {
            MemorySegment s = one(index, -1);
            assertEquals(1, m.sys.ioctl(v.fd, (int) kvm.KVM_GET_MSRS(), s));
            return kvm_msr_entry.data(s.asSlice(kvm_msrs.sizeof(), kvm_msr_entry.sizeof()));
        }

        int setUp(long capability) {
            MemorySegment s = m.struct(Long.BYTES);
            s.set(ValueLayout.JAVA_LONG, 0, capability);
            return m.sys.ioctl(v.fd, (int) kvm.KVM_X86_SETUP_MCE(), s);
        }

        @Override
        public void close() {
            m.close();
        }
    }

    @EveryKernel
    void banksBeforeTheyAreSetUp(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            assertEquals(BANKS, guest.m.sys.ioctl(guest.m.kvmFd, kvm.KVM_CHECK_EXTENSION(), (long) MCE));
            assertEquals(BANKS, guest.get(CAPABILITY));
            assertEquals(0, guest.get(CONTROL));
            assertEquals(1, guest.set(CONTROL, 0));
            assertEquals(0, guest.set(CONTROL, -1));
            assertEquals(1, guest.set(STATUS, 5));
            assertEquals(5, guest.get(STATUS));
            assertEquals(0, guest.get(BANK));
            assertEquals(1, guest.set(BANK + 4 * BANKS - 1, 77));
            assertEquals(77, guest.get(BANK + 4 * BANKS - 1));
        }
    }

    @EveryKernel
    void aControlIsAllOrNothing(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            ok(guest.setUp(CONTROL_PRESENT | 10));
            assertEquals(CONTROL_PRESENT | 10, guest.get(CAPABILITY));
            assertEquals(-1, guest.get(CONTROL));
            assertEquals(-1, guest.get(BANK + 4 * 9));
            assertEquals(0, guest.set(BANK + 4 * 10, 0));
            assertEquals(1, guest.set(CONTROL, -1));
            assertEquals(0, guest.set(CONTROL, 3));
            assertEquals(1, guest.set(BANK + 4, ~(1L << 10)));
            assertEquals(0, guest.set(BANK + 4, ~(1L << 11)));
            assertEquals(1, guest.set(BANK + 4, 0));
            assertEquals(1, guest.set(BANK + 1, 1L << 63)); // the status of a bank
            assertEquals(1, guest.set(BANK + 2, 0x1234)); // its address
            assertEquals(0x1234, guest.get(BANK + 2));
        }
    }

    @EveryKernel
    void setUpTakesWhatIsSupported(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            MemorySegment s = guest.m.struct(Long.BYTES);
            ok(guest.m.sys.ioctl(guest.m.kvmFd, (int) kvm.KVM_X86_GET_MCE_CAP_SUPPORTED(), s));
            long supported = s.get(ValueLayout.JAVA_LONG, 0);
            assertEquals(CONTROL_PRESENT, supported & CONTROL_PRESENT);
            fails(Errno.EINVAL, guest.setUp(0));
            fails(Errno.EINVAL, guest.setUp(BANKS + 1));
            fails(Errno.EINVAL, guest.setUp(1L << 40 | 1));
            ok(guest.setUp(supported | BANKS));
            fails(Errno.EFAULT, guest.m.sys.ioctl(guest.v.fd, (int) kvm.KVM_X86_SETUP_MCE(), KvmMachine.BAD_POINTER));
        }
    }

    /** Not with Intel's processors, which have the interrupt. */
    @EveryKernel
    void interruptsOfBanksAreNotThereButCanBeOff(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            assertEquals(1, guest.set(INTERRUPT, 0));
            assumeTrue(guest.setUp(1L << 10 | 1) < 0, "processors with corrected machine check interrupts");
            assertEquals(0, guest.set(INTERRUPT, 1));
            assertEquals(0, guest.get(INTERRUPT));
        }
    }

    @EveryKernel
    void clocksOfTheHypervisorCanBeOff(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            for (int index : new int[] {0x12, 0x4b564d01}) {
                assertEquals(1, guest.set(index, 0));
                assertEquals(0, guest.get(index));
            }
        }
    }

    /** Without a local APIC the deadline goes nowhere. */
    @EveryKernel
    void deadlineWithoutAnApic(KernelUnderTest kernel) {
        try (Guest guest = new Guest(kernel)) {
            assertEquals(1, guest.set(0x6e0, 5));
            assertEquals(0, guest.get(0x6e0));
        }
    }
}
