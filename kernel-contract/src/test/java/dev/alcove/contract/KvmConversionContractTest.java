// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What KVM_SET_MEMORY_ATTRIBUTES does to what the guest sees: on whole slots, parts, borders and holes. */
@Surface("attributes")
@Timeout(120)
final class KvmConversionContractTest {
    private static final long PAGE = KvmGuest.PAGE;
    private static final long RAM = KvmGuest.RAM;
    private static final int PAGES = KvmGuest.PAGES;
    private static final long END = RAM + PAGES * PAGE;

    @EveryKernel
    void memoryIsSharedAtFirst(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.store(RAM, 1);
            assertEquals(1, g.shared(0));
        }
    }

    @EveryKernel
    void aPrivateStoreDoesNotReachSharedMemory(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.store(RAM, 1);
            g.makePrivate(RAM, 1);
            g.store(RAM, 2);
            assertEquals(1, g.shared(0));
            assertEquals(2, g.load(RAM));
        }
    }

    @EveryKernel
    void aPrivatePageStartsFromZero(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.store(RAM + 8, -1);
            g.makePrivate(RAM, 1);
            assertEquals(0, g.load(RAM + 8));
        }
    }

    @EveryKernel
    void sharedMemoryComesBackAsItWas(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.store(RAM, 1);
            g.makePrivate(RAM, 1);
            g.store(RAM, 2);
            g.makeShared(RAM, 1);
            assertEquals(1, g.load(RAM));
        }
    }

    @EveryKernel
    void privateMemoryComesBackAsItWas(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, 1);
            g.store(RAM, 2);
            g.makeShared(RAM, 1);
            g.store(RAM, 3);
            g.makePrivate(RAM, 1);
            assertEquals(2, g.load(RAM));
        }
    }

    @EveryKernel
    void privateMemoryThatWasPunchedIsZero(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, 2);
            g.store(RAM, 2);
            g.store(RAM + PAGE, 3);
            ok(g.m.punch(g.gmem, 0, PAGE));
            assertEquals(0, g.load(RAM));
            assertEquals(3, g.load(RAM + PAGE));
        }
    }

    @EveryKernel
    void aPunchLeavesTheAttribute(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.shared.set(ValueLayout.JAVA_LONG, 0, 9);
            g.makePrivate(RAM, 1);
            ok(g.m.punch(g.gmem, 0, PAGE));
            g.store(RAM, 1);
            assertEquals(9, g.shared(0), "the page is still private");
        }
    }

    @EveryKernel
    void aPunchLeavesSharedMemoryAlone(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.store(RAM, 6);
            ok(g.m.punch(g.gmem, 0, PAGES * PAGE));
            assertEquals(6, g.load(RAM));
        }
    }

    @EveryKernel
    void neighboursKeepTheirAttribute(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            for (int page = 0; page < 3; page++) {
                g.store(RAM + page * PAGE, 1 + page);
            }
            g.makePrivate(RAM + PAGE, 1);
            assertEquals(1, g.load(RAM));
            assertEquals(0, g.load(RAM + PAGE));
            assertEquals(3, g.load(RAM + 2 * PAGE));
        }
    }

    @EveryKernel
    void aPartOfAPrivateRangeCanBeShared(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, PAGES);
            g.makeShared(RAM + 4 * PAGE, 2);
            for (int page : new int[] {0, 3, 4, 5, 6, 15}) {
                g.store(RAM + page * PAGE, 100 + page);
                boolean isShared = page == 4 || page == 5;
                assertEquals(isShared ? 100 + page : 0, g.shared(page * PAGE), "page " + page);
            }
        }
    }

    @EveryKernel
    void aRangeMayBeginBeforeTheSlotAndEndBehindIt(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM - 4 * PAGE, PAGES + 8);
            g.store(RAM, 5);
            g.store(END - 8, 6);
            assertEquals(0, g.shared(0));
            g.loadFaults(RAM - PAGE, true);
            g.loadFaults(END, true);
            g.makeShared(RAM - 4 * PAGE, PAGES + 8);
            assertEquals(0, g.load(RAM));
        }
    }

    @EveryKernel
    void aRangeMayCoverSeveralSlotsAndTheHoleBetween(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            MemorySegment more = g.m.memory(4);
            int file = g.m.own(g.m.gmem(4 * PAGE, 0));
            long second = END + 2 * PAGE;
            ok(g.m.region(2, KvmMachine.GMEM, second, 4 * PAGE, more.address(), file, 0));
            g.makePrivate(END - PAGE, 4);
            g.store(END - 8, 1);
            g.store(second, 2);
            assertEquals(0, g.shared(PAGES * PAGE - 8));
            assertEquals(0, more.get(ValueLayout.JAVA_LONG, 0));
            g.loadFaults(END, true);
            g.store(second + PAGE, 3);
            assertEquals(3, more.get(ValueLayout.JAVA_LONG, PAGE), "behind the range");
        }
    }

    @EveryKernel
    void anAttributeMayComeBeforeItsSlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(0x200000, 1);
            MemorySegment memory = g.m.memory(2);
            int file = g.m.own(g.m.gmem(2 * PAGE, 0));
            ok(g.m.region(2, KvmMachine.GMEM, 0x200000, 2 * PAGE, memory.address(), file, 0));
            g.store(0x200000, 7);
            g.store(0x200000 + PAGE, 8);
            assertEquals(0, memory.get(ValueLayout.JAVA_LONG, 0));
            assertEquals(8, memory.get(ValueLayout.JAVA_LONG, PAGE));
        }
    }

    @EveryKernel
    void anAttributeOutlivesItsSlot(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, 1);
            ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
            ok(g.m.region(1, KvmMachine.GMEM, RAM, PAGES * PAGE, g.shared.address(), g.gmem, 0));
            g.store(RAM, 7);
            assertEquals(0, g.shared(0));
        }
    }

    @EveryKernel
    void theSameAttributeTwiceChangesNothing(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, 1);
            g.store(RAM, 7);
            g.makePrivate(RAM, 1);
            assertEquals(7, g.load(RAM));
        }
    }

    @EveryKernel
    void theOffsetOfTheBindingCounts(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            int file = g.m.own(g.m.gmem(8 * PAGE, 0));
            long user = g.m.memory(4).address();
            ok(g.m.region(2, KvmMachine.GMEM, 0x200000, 4 * PAGE, user, file, 4 * PAGE));
            g.makePrivate(0x200000, 4);
            g.store(0x200000 + PAGE, 7);
            ok(g.m.punch(file, PAGE, PAGE));
            assertEquals(7, g.load(0x200000 + PAGE));
            ok(g.m.punch(file, 5 * PAGE, PAGE));
            assertEquals(0, g.load(0x200000 + PAGE));
        }
    }

    @EveryKernel
    void twoSlotsOfOneFileShareNothing(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            int file = g.m.own(g.m.gmem(2 * PAGE, 0));
            long user = g.m.memory(2).address();
            ok(g.m.region(2, KvmMachine.GMEM, 0x200000, PAGE, user, file, PAGE));
            ok(g.m.region(3, KvmMachine.GMEM, 0x210000, PAGE, user + PAGE, file, 0));
            g.makePrivate(0x200000, 1);
            g.makePrivate(0x210000, 1);
            g.store(0x200000, 1);
            g.store(0x210000, 2);
            ok(g.m.punch(file, 0, PAGE));
            assertEquals(1, g.load(0x200000));
            assertEquals(0, g.load(0x210000));
        }
    }

    @EveryKernel
    void aFileMovesToAnotherAddressWithItsContents(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            g.makePrivate(RAM, PAGES);
            g.store(RAM + PAGE, 55);
            ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
            ok(g.m.region(1, KvmMachine.GMEM, 0x200000, PAGES * PAGE, g.shared.address(), g.gmem, 0));
            g.makePrivate(0x200000, PAGES);
            assertEquals(55, g.load(0x200000 + PAGE));
        }
    }

    @EveryKernel
    void anEagerlyAllocatedFileIsZero(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.sys.fallocate(g.gmem, 1, 0, PAGES * PAGE));
            g.makePrivate(RAM, PAGES);
            assertEquals(0, g.load(RAM + 7 * PAGE));
        }
    }

    @EveryKernel
    void aMappableFileServesBothSides(KernelUnderTest kernel) {
        try (KvmGuest g = new KvmGuest(kernel, KvmMachine.SW_PROTECTED, KvmMachine.FLAG_MMAP)) {
            g.store(RAM, 12);
            assertEquals(0, g.shared(0), "user memory is not looked at");
            g.makePrivate(RAM, 1);
            assertEquals(12, g.load(RAM), "the same page");
        }
    }

    @EveryKernel
    void conversionsThatTheGuestAsksFor(KernelUnderTest kernel) {
        long seed = 20261121;
        Random random = new Random(seed);
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            ok(g.m.enable(201, 4096));
            boolean[] isPrivate = new boolean[PAGES];
            long[] sharedValue = new long[PAGES];
            long[] privateValue = new long[PAGES];
            for (int round = 0; round < 60; round++) {
                int first = random.nextInt(PAGES);
                int count = 1 + random.nextInt(PAGES - first);
                boolean wanted = random.nextBoolean();
                convert(g, RAM + first * PAGE, count, wanted);
                for (int page = first; page < first + count; page++) {
                    isPrivate[page] = wanted;
                }
                int at = random.nextInt(PAGES);
                long[] values = isPrivate[at] ? privateValue : sharedValue;
                String where = "page " + at + " in round " + round + " of seed " + seed;
                assertEquals(values[at], g.load(RAM + at * PAGE), where);
                values[at] = random.nextLong();
                g.store(RAM + at * PAGE, values[at]);
                assertEquals(sharedValue[at], g.shared(at * PAGE), where);
            }
        }
    }

    /** The guest asks for a conversion, user space makes it. */
    private static void convert(KvmGuest g, long gpa, long pages, boolean wanted) {
        g.start(KvmGuest.VMCALL);
        MemorySegment r = g.v.regs();
        kvm_regs.rax(r, 12);
        kvm_regs.rbx(r, gpa);
        kvm_regs.rcx(r, pages);
        kvm_regs.rdx(r, wanted ? 0x10 : 0);
        g.v.setRegs();
        g.v.runTo(KvmVcpu.HYPERCALL);
        MemorySegment hypercall = kvm_run.hypercall(g.v.run);
        long from = kvm_run.hypercall.args(hypercall, 0);
        long bytes = kvm_run.hypercall.args(hypercall, 1) * PAGE;
        long attribute = (kvm_run.hypercall.args(hypercall, 2) & 0x10) != 0 ? KvmMachine.PRIVATE : 0;
        ok(g.m.attributes(from, bytes, attribute, 0));
        g.v.runTo(KvmVcpu.HLT);
        assertEquals(0, kvm_regs.rax(g.v.regs()));
    }

    @EveryKernel
    void bytesInABlockStayWhereTheyBelong(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            String fill = "f3 48ab f4"; // rep stosq; hlt
            String compare = "f3 48af f4"; // repe scasq; hlt
            block(g, fill, 1111);
            g.makePrivate(RAM + 2 * PAGE, 5);
            block(g, fill, 2222);
            for (int page = 0; page < PAGES; page++) {
                boolean hidden = page >= 2 && page < 7;
                for (long at : new long[] {0, PAGE - 8}) {
                    assertEquals(hidden ? 1111 : 2222, g.shared(page * PAGE + at), "page " + page);
                }
            }
            block(g, compare, 2222);
            assertEquals(0, kvm_regs.rcx(g.v.regs()), "all the same for the guest");
            g.makeShared(RAM, PAGES);
            block(g, compare, 2222);
            assertEquals((PAGES - 2) * PAGE / 8 - 1, kvm_regs.rcx(g.v.regs()), "the third page has its old contents");
        }
    }

    private static void block(KvmGuest g, String program, long value) {
        g.start(program, RAM, value);
        MemorySegment r = g.v.regs();
        kvm_regs.rcx(r, PAGES * PAGE / 8);
        g.v.setRegs();
        g.v.runTo(KvmVcpu.HLT);
    }

    @EveryKernel
    void initSharedIsNotForMachinesWithPrivateMemory(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            fails(Errno.EINVAL, m.gmem(PAGE, KvmMachine.FLAG_INIT_SHARED));
            fails(Errno.EINVAL, m.gmem(PAGE, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED));
        }
    }
}
