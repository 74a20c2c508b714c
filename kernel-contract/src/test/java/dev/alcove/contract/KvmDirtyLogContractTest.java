// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG, with a guest in real mode that stores. */
@Surface("kvm memslots")
@Timeout(60)
final class KvmDirtyLogContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int LOG_DIRTY = KvmMachine.LOG_DIRTY;
    private static final int MANUAL_PROTECT = 168;
    private static final long CODE = 0x1000;

    /** Guest address of slot 1, whose pages are logged. */
    private static final long RAM = 0x20000;

    private static final int PAGES = 130;

    /** A guest that stores one byte at a time in slot 1. */
    private static final class Guest implements AutoCloseable {
        final KvmMachine m;
        final MemorySegment low;
        final MemorySegment ram;
        final KvmVcpu v;

        Guest(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT);
            low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            ram = m.memory(PAGES);
            v = m.vcpu(0);
            v.realMode(CODE);
        }

        Guest logged() {
            ok(slot(LOG_DIRTY));
            return this;
        }

        int slot(int flags) {
            return m.region1(1, flags, RAM, PAGES * PAGE, ram.address());
        }

        /** The guest stores in a page of slot 1, by ES. */
        void store(int page) {
            run("26 8807 f4", page); // mov es:[bx],al; hlt
        }

        /** The guest loads from a page. */
        void load(int page) {
            run("26 8a07 f4", page);
        }

        private void run(String program, int page) {
            byte[] bytes = HexFormat.of().parseHex(program.replace(" ", ""));
            MemorySegment.copy(bytes, 0, low, ValueLayout.JAVA_BYTE, CODE, bytes.length);
            v.realMode(CODE, (RAM + page * PAGE) >>> 4);
            v.runTo(KvmVcpu.HLT);
        }

        long[] log() {
            MemorySegment bitmap = m.memory(1);
            ok(m.dirtyLog(1, bitmap.address()));
            long[] words = {
                bitmap.get(ValueLayout.JAVA_LONG, 0),
                bitmap.get(ValueLayout.JAVA_LONG, 8),
                bitmap.get(ValueLayout.JAVA_LONG, 16)
            };
            m.unmap(bitmap);
            return words;
        }

        void logIs(long first, long second, long third) {
            long[] words = log();
            assertEquals(first, words[0], "pages 0 to 63");
            assertEquals(second, words[1], "pages 64 to 127");
            assertEquals(third, words[2], "pages 128 and 129");
        }

        /** KVM_CLEAR_DIRTY_LOG of pages, counted from 0, of one word of the log. */
        int clear(long first, int pages, long bits) {
            MemorySegment bitmap = m.memory(1);
            for (int at = 0; at < 64; at += 8) {
                bitmap.set(ValueLayout.JAVA_LONG, at, bits);
            }
            int answer = m.clearDirtyLog(1, first, pages, bitmap.address());
            m.unmap(bitmap);
            return answer;
        }

        @Override
        public void close() {
            m.close();
        }
    }

    @EveryKernel
    void startsEmpty(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void holdsThePagesThatWereWritten(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(0);
            g.store(63);
            g.store(64);
            g.store(129);
            g.logIs(1L << 63 | 1, 1, 2);
        }
    }

    @EveryKernel
    void doesNotHoldPagesThatWereRead(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.load(3);
            g.store(4);
            g.logIs(1 << 4, 0, 0);
        }
    }

    @EveryKernel
    void holdsAPageThatWasReadBeforeItWasWritten(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.load(3);
            g.logIs(0, 0, 0);
            g.store(3);
            g.logIs(1 << 3, 0, 0);
        }
    }

    @EveryKernel
    void isTakenByReading(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(5);
            g.logIs(1 << 5, 0, 0);
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void holdsAPageAgainAfterItWasTaken(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            for (int round = 0; round < 3; round++) {
                g.store(5);
                g.store(5);
                g.logIs(1 << 5, 0, 0);
            }
        }
    }

    @EveryKernel
    void doesNotHoldWhatTheUserWrites(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.load(6);
            g.ram.set(ValueLayout.JAVA_BYTE, 6 * PAGE, (byte) 1);
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void holdsAPageThatIsReadWhenTheUserHasWrittenIt(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            g.ram.set(ValueLayout.JAVA_BYTE, 6 * PAGE, (byte) 1);
            g.load(6);
            g.logIs(1 << 6, 0, 0);
            g.load(6);
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void doesNotHoldPagesThatAreReadAfterItWasSwitchedOn(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.slot(0));
            g.store(7);
            ok(g.slot(LOG_DIRTY));
            g.load(7);
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void holdsPagesThatAreReadAfterAnotherSlotHasGone(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            g.store(7);
            g.logIs(1 << 7, 0, 0);
            MemorySegment more = g.m.memory(1);
            ok(g.m.region1(2, 0, 0x200000, PAGE, more.address()));
            g.load(7);
            g.logIs(0, 0, 0);
            ok(g.m.region1(2, 0, 0x200000, 0, more.address()));
            g.load(7);
            g.logIs(1 << 7, 0, 0);
        }
    }

    @EveryKernel
    void canBeSwitchedOnLater(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.slot(0));
            g.store(7);
            ok(g.slot(LOG_DIRTY));
            g.logIs(0, 0, 0);
            g.store(7);
            g.logIs(1 << 7, 0, 0);
        }
    }

    @EveryKernel
    void isForgottenWhenItIsSwitchedOff(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(7);
            ok(g.slot(0));
            ok(g.slot(LOG_DIRTY));
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void movesWithItsSlot(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(9);
            ok(g.m.region1(1, LOG_DIRTY, RAM + 0x100000, PAGES * PAGE, g.ram.address()));
            g.logIs(1 << 9, 0, 0);
        }
    }

    @EveryKernel
    void isGoneWithItsSlot(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(9);
            ok(g.m.region1(1, 0, 0, 0, 0));
            fails(Errno.ENOENT, g.m.dirtyLog(1, g.ram.address()));
            ok(g.slot(LOG_DIRTY));
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void needsASlot(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            fails(Errno.ENOENT, g.m.dirtyLog(7, g.ram.address()));
        }
    }

    @EveryKernel
    void needsASlotThatIsLogged(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            fails(Errno.ENOENT, g.m.dirtyLog(0, g.ram.address()));
            fails(Errno.ENOENT, g.m.clearDirtyLog(0, 0, 16, g.ram.address()));
        }
    }

    @EveryKernel
    void needsASlotNumber(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            fails(Errno.EINVAL, g.m.dirtyLog(g.m.has(10), g.ram.address()));
            fails(Errno.EINVAL, g.m.dirtyLog(0x20001, g.ram.address()));
        }
    }

    @EveryKernel
    void needsAPointer(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            fails(Errno.EFAULT, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_GET_DIRTY_LOG(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void isLostWhenThereIsNoRoomForIt(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            g.store(3);
            fails(Errno.EFAULT, g.m.dirtyLog(1, KvmMachine.BAD_POINTER));
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void isWholeWords(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            MemorySegment bitmap = g.m.memory(1);
            bitmap.fill((byte) -1);
            ok(g.m.dirtyLog(1, bitmap.address()));
            assertEquals(0, bitmap.get(ValueLayout.JAVA_LONG, 16));
            assertEquals(-1, bitmap.get(ValueLayout.JAVA_LONG, 24), "behind the last word");
        }
    }

    private static Guest manual(KernelUnderTest kernel, long mode) {
        Guest g = new Guest(kernel);
        g.m.needs(MANUAL_PROTECT, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
        ok(g.m.enable(MANUAL_PROTECT, mode));
        return g.logged();
    }

    @EveryKernel
    void manualModeHasTwoFlags(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("manual dirty log", m.has(MANUAL_PROTECT) == 0 ? -Errno.EINVAL : 0);
            assertEquals(3, m.has(MANUAL_PROTECT));
            fails(Errno.EINVAL, m.enable(MANUAL_PROTECT, 4));
            fails(Errno.EINVAL, m.enable(MANUAL_PROTECT, 2));
            ok(m.enable(MANUAL_PROTECT, 3));
            ok(m.enable(MANUAL_PROTECT, 1));
            ok(m.enable(MANUAL_PROTECT, 0));
        }
    }

    @EveryKernel
    void staysInManualModeUntilItIsCleared(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            g.store(5);
            g.store(6);
            g.logIs(3 << 5, 0, 0);
            g.logIs(3 << 5, 0, 0);
            ok(g.clear(0, 64, 1 << 5));
            g.logIs(1 << 6, 0, 0);
        }
    }

    @EveryKernel
    void isFullAtFirstWhereThatWasAskedFor(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 3)) {
            g.logIs(-1, -1, 3);
            ok(g.clear(0, PAGES, -1));
            g.logIs(0, 0, 0);
            g.store(1);
            g.logIs(2, 0, 0);
        }
    }

    @EveryKernel
    void clearedPagesAreLoggedAgain(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            g.store(70);
            ok(g.clear(64, 64, 1 << 6));
            g.logIs(0, 0, 0);
            g.store(70);
            g.logIs(0, 1 << 6, 0);
        }
    }

    @EveryKernel
    void canBeClearedWithoutManualMode(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            kernel.needs("KVM_CLEAR_DIRTY_LOG", g.m.has(MANUAL_PROTECT) == 0 ? -Errno.EINVAL : 0);
            g.store(5);
            ok(g.clear(0, 64, -1));
            g.logIs(0, 0, 0);
        }
    }

    @EveryKernel
    void clearingTakesWholeWordsOrTheRest(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            fails(Errno.EINVAL, g.clear(1, 63, 0));
            fails(Errno.EINVAL, g.clear(0, 63, 0));
            fails(Errno.EINVAL, g.clear(0, PAGES + 1, 0));
            fails(Errno.EINVAL, g.clear(192, 64, 0));
            fails(Errno.EINVAL, g.clear(128, 3, 0));
            ok(g.clear(128, 2, 0));
            ok(g.clear(64, 64, 0));
            ok(g.clear(0, PAGES, 0));
            ok(g.clear(0, 0, 0));
        }
    }

    @EveryKernel
    void clearingLeavesWhatIsNotNamed(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            g.store(5);
            g.store(64);
            g.store(129);
            ok(g.clear(0, 64, 0));
            ok(g.clear(128, 2, 1));
            ok(g.clear(64, 64, ~1L));
            g.logIs(1 << 5, 1, 2);
        }
    }

    @EveryKernel
    void clearingNeedsItsPointers(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            fails(Errno.EFAULT, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_CLEAR_DIRTY_LOG(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, g.m.clearDirtyLog(1, 0, 64, KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void clearingLooksAtTheFirstPageBeforeTheSlot(KernelUnderTest kernel) {
        try (Guest g = manual(kernel, 1)) {
            long u = g.ram.address();
            fails(Errno.EINVAL, g.m.clearDirtyLog(7, 1, 64, u));
            fails(Errno.ENOENT, g.m.clearDirtyLog(7, 0, 64, u));
            fails(Errno.ENOENT, g.m.clearDirtyLog(7, 0, 63, u));
            fails(Errno.EINVAL, g.m.clearDirtyLog(g.m.has(10), 0, 64, u));
        }
    }

    @EveryKernel
    void aStoreReachesUserMemoryWhetherItIsLoggedOrNot(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel).logged()) {
            kvm_regs.rax(g.v.regs(), 0);
            g.ram.set(ValueLayout.JAVA_BYTE, 2 * PAGE, (byte) 0x55);
            g.store(2);
            assertEquals(0, g.ram.get(ValueLayout.JAVA_BYTE, 2 * PAGE));
        }
    }
}
