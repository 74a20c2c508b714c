// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Memslots without guest_memfd: the checks of KVM_SET_USER_MEMORY_REGION, creation, change, move and deletion. */
@Surface("kvm memslots")
@Timeout(60)
final class KvmMemslotContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int LOG_DIRTY = KvmMachine.LOG_DIRTY;
    private static final int READONLY = KvmMachine.READONLY;

    /** A default machine with four pages of user memory. */
    private static final class Slots implements AutoCloseable {
        final KvmMachine m;
        final long u;

        Slots(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT);
            u = m.memory(4).address();
        }

        /** Version 1 of the call. */
        int set(int slot, int flags, long gpa, long size, long address) {
            return m.region1(slot, flags, gpa, size, address);
        }

        /** Both versions. */
        void refused(int errno, int slot, int flags, long gpa, long size, long address) {
            fails(errno, m.region1(slot, flags, gpa, size, address));
            fails(errno, m.region(slot, flags, gpa, size, address, -1, 0));
        }

        @Override
        public void close() {
            m.close();
        }
    }

    @EveryKernel
    void needsAPointer(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            fails(Errno.EFAULT, s.m.sys.ioctl(s.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, s.m.sys.ioctl(s.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void theWholeStructMustBeReadable(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            long two = s.m.memory(2).address();
            long behind = ok(s.m.sys.mmap(
                    two + PAGE, PAGE, Linux.PROT_NONE, KvmMachine.ANONYMOUS | Linux.MAP_FIXED, -1, 0));
            // 32 bytes fit before the border, 160 do not; all zero, they would delete a slot that is not there.
            long at = behind - 32;
            fails(Errno.EFAULT, s.m.sys.ioctl(s.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), at));
            fails(Errno.EINVAL, s.m.sys.ioctl(s.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), at));
        }
    }

    @EveryKernel
    void version1TakesTwoFlags(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            for (int bit = 2; bit < 32; bit++) {
                fails(Errno.EINVAL, s.m.region1(0, 1 << bit, 0, PAGE, s.u));
            }
            ok(s.m.region1(0, LOG_DIRTY | READONLY, 0, PAGE, s.u));
        }
    }

    @EveryKernel
    void version2TakesNoUnknownFlags(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            for (int bit = 3; bit < 32; bit++) {
                fails(Errno.EINVAL, s.m.region(0, 1 << bit, 0, PAGE, s.u, -1, 0));
            }
            ok(s.m.region(0, LOG_DIRTY | READONLY, 0, PAGE, s.u, -1, 0));
        }
    }

    @EveryKernel
    void version2DoesNotLookAtThePadding(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            MemorySegment struct = s.m.struct(160);
            struct.asSlice(44).fill((byte) -1);
            struct.set(ValueLayout.JAVA_LONG, 16, PAGE);
            struct.set(ValueLayout.JAVA_LONG, 24, s.u);
            ok(s.m.sys.ioctl(s.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), struct));
        }
    }

    @EveryKernel
    void version2WithoutGuestMemfdDoesNotLookAtTheFile(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.m.region(0, 0, 0, PAGE, s.u, -1, 123));
            ok(s.m.region(0, 0, 0, PAGE, s.u, 4711, -1));
        }
    }

    @EveryKernel
    void theGuestAddressMustBeAligned(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 0, 0, 1, PAGE, s.u);
            s.refused(Errno.EINVAL, 0, 0, PAGE - 1, PAGE, s.u);
        }
    }

    @EveryKernel
    void theSizeMustBeAligned(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 0, 0, 0, 1, s.u);
            s.refused(Errno.EINVAL, 0, 0, 0, PAGE + 0x200, s.u);
        }
    }

    @EveryKernel
    void theUserAddressMustBeAligned(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 0, 0, 0, PAGE, s.u + 1);
        }
    }

    @EveryKernel
    void theUserAddressMustBeAUsers(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 0, 0, 0, PAGE, 0xffff800000000000L);
            s.refused(Errno.EINVAL, 0, 0, 0, PAGE, -PAGE);
            s.refused(Errno.EINVAL, 0, 0, 0, PAGE, 1L << 57);
        }
    }

    @EveryKernel
    void theUserRangeMustEndWhereUserSpaceEnds(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            // Processors with five levels of page tables give user space more.
            boolean fiveLevels = !Linux.isError(s.set(1, 0, 0x100000, PAGE, 1L << 48));
            long end = (1L << (fiveLevels ? 56 : 47)) - PAGE;
            s.refused(Errno.EINVAL, 0, 0, 0, 2 * PAGE, end - PAGE);
            ok(s.set(0, 0, 0, PAGE, end - PAGE));
        }
    }

    @EveryKernel
    void theUserAddressNeedNotBeMapped(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(0, 0, 0, PAGE, 0x10000));
            ok(s.set(1, 0, PAGE, PAGE, 0));
        }
    }

    @EveryKernel
    void slotNumbersAreLimited(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            int slots = s.m.has(10);
            s.refused(Errno.EINVAL, slots, 0, 0, PAGE, s.u);
            s.refused(Errno.EINVAL, 0xffff, 0, 0, PAGE, s.u);
            ok(s.set(slots - 1, 0, 0, PAGE, s.u));
        }
    }

    @EveryKernel
    void addressSpacesAreLimited(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 0x20000, 0, 0, PAGE, s.u);
            s.refused(Errno.EINVAL, -1 << 16, 0, 0, PAGE, s.u);
            if (s.m.has(118) < 2) {
                s.refused(Errno.EINVAL, 0x10000, 0, 0, PAGE, s.u);
                s.refused(Errno.EINVAL, 0x10000, 0, 0, 0, s.u);
            }
        }
    }

    @EveryKernel
    void theSecondAddressSpaceHasItsOwnSlots(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("a second address space", m.has(118) < 2 ? -Errno.EINVAL : 0);
            long u = m.memory(2).address();
            ok(m.region1(0, 0, 0, PAGE, u));
            ok(m.region1(0x10000, LOG_DIRTY, 0, PAGE, u));
            fails(Errno.EEXIST, m.region1(0x10001, 0, 0, PAGE, u));
            assertEquals(0, m.dirtyLog(0x10000));
            fails(Errno.ENOENT, m.dirtyLog(0, u));
            ok(m.region1(0, 0, 0, 0, 0));
            fails(Errno.EINVAL, m.region1(0x10000, 0, 0, PAGE, u + PAGE));
            ok(m.region1(0x10000, 0, 0, 0, 0));
            fails(Errno.EINVAL, m.region1(0x10000, 0, 0, 0, 0));
        }
    }

    @EveryKernel
    void theGuestRangeMustNotWrap(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 5, 0, -PAGE, 2 * PAGE, s.u);
            s.refused(Errno.EINVAL, 5, 0, -PAGE, PAGE, s.u);
        }
    }

    @EveryKernel
    void theGuestRangeMustNotLeaveThePhysicalAddresses(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 5, 0, 1L << 52, PAGE, s.u);
            s.refused(Errno.EINVAL, 5, 0, (1L << 52) - PAGE, 2 * PAGE, s.u);
        }
    }

    @EveryKernel
    void thePhysicalAddressesAreThoseOfTheProcessor(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            long u = m.memory(2).address();
            long end = 1L << physicalBits(m);
            fails(Errno.EINVAL, m.region1(0, 0, end, PAGE, u));
            fails(Errno.EINVAL, m.region1(0, 0, end - PAGE, 2 * PAGE, u));
            ok(m.region1(0, 0, end - PAGE, PAGE, u));
            fails(Errno.EINVAL, m.region1(0, 0, end, PAGE, u));
            ok(m.region1(0, 0, 0, PAGE, u));
        }
    }

    private static int physicalBits(KvmMachine m) {
        MemorySegment s = m.struct(kvm_cpuid2.sizeof() + 256 * kvm_cpuid_entry2.sizeof());
        kvm_cpuid2.nent(s, 256);
        ok(m.sys.ioctl(m.kvmFd, (int) kvm.KVM_GET_SUPPORTED_CPUID(), s));
        for (int i = 0; i < kvm_cpuid2.nent(s); i++) {
            MemorySegment e = kvm_cpuid_entry2.asSlice(s.asSlice(kvm_cpuid2.sizeof()), i);
            if (kvm_cpuid_entry2.function(e) == 0x80000008) {
                return kvm_cpuid_entry2.eax(e) & 0xff;
            }
        }
        throw new AssertionError("no leaf 0x80000008");
    }

    @EveryKernel
    void aSlotHasAtMostSoManyPages(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 6, 0, 0, 1L << 43, 0);
            ok(s.set(6, 0, 0, (1L << 30), 0));
        }
    }

    @EveryKernel
    void aSlotThatIsNotThereCannotBeDeleted(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            s.refused(Errno.EINVAL, 5, 0, 0, 0, 0);
            ok(s.set(5, 0, 0, PAGE, s.u));
            s.refused(Errno.EINVAL, 4, 0, 0, 0, 0);
        }
    }

    @EveryKernel
    void deletionLooksAtTheNumberOnly(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, LOG_DIRTY, 0, PAGE, s.u));
            ok(s.set(5, READONLY, 0x70000, 0, s.u + PAGE));
            fails(Errno.EINVAL, s.set(5, 0, 0, 0, 0));
        }
    }

    @EveryKernel
    void deletionChecksItsOtherArgumentsTooForAlignment(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            s.refused(Errno.EINVAL, 5, 0, 1, 0, s.u);
            s.refused(Errno.EINVAL, 5, 0, 0, 0, 1);
            s.refused(Errno.EINVAL, 5, 8, 0, 0, 0);
            ok(s.set(5, 0, 0, 0, 0));
        }
    }

    @EveryKernel
    void theSameAgainIsNothing(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, PAGE, PAGE, s.u));
            ok(s.set(5, 0, PAGE, PAGE, s.u));
            ok(s.m.region(5, 0, PAGE, PAGE, s.u, -1, 0));
        }
    }

    @EveryKernel
    void aSlotCannotGrowOrShrink(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, 2 * PAGE, s.u));
            s.refused(Errno.EINVAL, 5, 0, 0, PAGE, s.u);
            s.refused(Errno.EINVAL, 5, 0, 0, 3 * PAGE, s.u);
        }
    }

    @EveryKernel
    void theUserAddressCannotChange(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            s.refused(Errno.EINVAL, 5, 0, 0, PAGE, s.u + PAGE);
            s.refused(Errno.EINVAL, 5, 0, 0x9000, PAGE, s.u + PAGE);
        }
    }

    @EveryKernel
    void readOnlyCannotChange(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            ok(s.set(6, READONLY, PAGE, PAGE, s.u));
            s.refused(Errno.EINVAL, 5, READONLY, 0, PAGE, s.u);
            s.refused(Errno.EINVAL, 6, 0, PAGE, PAGE, s.u);
            ok(s.set(6, READONLY | LOG_DIRTY, PAGE, PAGE, s.u));
        }
    }

    @EveryKernel
    void theLogCanBeSwitchedOnAndOff(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            fails(Errno.ENOENT, s.m.dirtyLog(5, s.u));
            ok(s.set(5, LOG_DIRTY, 0, PAGE, s.u));
            ok(s.m.dirtyLog(5, s.u));
            ok(s.set(5, 0, 0, PAGE, s.u));
            fails(Errno.ENOENT, s.m.dirtyLog(5, s.u));
        }
    }

    @EveryKernel
    void twoSlotsCannotShareAFrame(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0x4000, 4 * PAGE, s.u));
            s.refused(Errno.EEXIST, 6, 0, 0x4000, PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, 0x7000, PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, 0x3000, 2 * PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, 0x7000, 2 * PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, 0x3000, 7 * PAGE, s.u);
            ok(s.set(6, 0, 0x3000, PAGE, s.u));
            ok(s.set(7, 0, 0x8000, PAGE, s.u));
        }
    }

    @EveryKernel
    void twoSlotsCanShareUserMemory(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            ok(s.set(6, 0, PAGE, PAGE, s.u));
        }
    }

    @EveryKernel
    void aSlotCannotMoveOverAnother(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, 2 * PAGE, s.u));
            ok(s.set(6, 0, 0x4000, PAGE, s.u));
            s.refused(Errno.EEXIST, 5, 0, 0x3000, 2 * PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, PAGE, PAGE, s.u);
        }
    }

    @EveryKernel
    void aSlotCanMoveOverItself(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, 2 * PAGE, s.u));
            ok(s.set(5, 0, PAGE, 2 * PAGE, s.u));
            ok(s.set(6, 0, 0, PAGE, s.u));
        }
    }

    @EveryKernel
    void aMoveCannotLeaveThePhysicalAddresses(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, PAGE, PAGE, s.u));
            s.refused(Errno.EINVAL, 5, 0, 1L << 52, PAGE, s.u);
            s.refused(Errno.EEXIST, 6, 0, PAGE, PAGE, s.u);
        }
    }

    @EveryKernel
    void theSizeOfTheFrameNumberDecidesAfterTheOverlap(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            // Both wrong: the range starts in slot 5 and ends behind the physical addresses.
            ok(s.set(5, 0, (1L << 40) - PAGE, PAGE, s.u));
            s.refused(Errno.EEXIST, 6, 0, (1L << 40) - PAGE, 1L << 42, 0);
        }
    }

    @EveryKernel
    void anUnsuitableFlagDecidesBeforeTheOverlap(KernelUnderTest kernel) {
        try (Slots s = new Slots(kernel)) {
            ok(s.set(5, 0, 0, PAGE, s.u));
            s.refused(Errno.EINVAL, 6, 8, 0, PAGE, s.u);
            s.refused(Errno.EINVAL, 6, 0, 0, PAGE, s.u + 1);
        }
    }

    @EveryKernel
    void allSlotsCanBeUsed(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int slots = m.has(10);
            // One struct for all: an arena entry for each of 32764 calls would be the test's own waste.
            MemorySegment s = m.struct(32);
            s.set(ValueLayout.JAVA_LONG, 16, PAGE);
            s.set(ValueLayout.JAVA_LONG, 24, m.memory(1).address());
            int step = slots / 1000;
            for (int i = 0; i < slots; i += step) {
                s.set(ValueLayout.JAVA_INT, 0, i);
                s.set(ValueLayout.JAVA_LONG, 8, i * PAGE);
                ok(m.sys.ioctl(m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s));
            }
        }
    }
}
