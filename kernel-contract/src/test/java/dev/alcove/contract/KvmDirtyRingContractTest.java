// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_dirty_gfn;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The dirty ring (KVM_CAP_DIRTY_LOG_RING), with a guest in real mode that stores. */
@Surface("kvm dirty ring")
@Timeout(60)
final class KvmDirtyRingContractTest {
    private static final int RING = 192;
    private static final int RING_ACQ_REL = 223;
    private static final int RING_WITH_BITMAP = 225;
    private static final int MANUAL_PROTECT = 168;
    private static final int DIRTY_RING_FULL = 31;
    private static final long PAGE = KvmMachine.PAGE;
    private static final long RING_OFFSET = 64 * PAGE;
    private static final int BYTES = 4096;
    private static final int ENTRIES = BYTES / 16;

    /** Guest address of slot 3, whose pages are logged; ES reaches it. */
    private static final long RAM = 0x20000;

    private static final int PAGES = 200;
    private static final String STORE = "26 8807 f4"; // mov es:[bx],al; hlt

    private static final class Guest implements AutoCloseable {
        final KvmRealGuest g;
        final KvmMachine m;
        final MemorySegment ram;
        final MemorySegment ring;
        int next;

        Guest(KernelUnderTest kernel) {
            g = new KvmRealGuest(kernel, machine -> {
                machine.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
                machine.needs(RING_ACQ_REL, "KVM_CAP_DIRTY_LOG_RING_ACQ_REL");
                ok(machine.enable(RING_ACQ_REL, BYTES));
            });
            m = g.m;
            ram = m.memory(PAGES);
            ok(slot(KvmMachine.LOG_DIRTY));
            ring = UserMappings.segment(
                    ok(m.sys.mmap(0, BYTES, KvmMachine.RW, Linux.MAP_SHARED, g.v.fd, RING_OFFSET)), BYTES);
        }

        int slot(int flags) {
            return m.region1(3, flags, RAM, PAGES * PAGE, ram.address());
        }

        void store(long page) {
            g.halts(STORE, RAM + page * PAGE, 1);
        }

        MemorySegment entry(int index) {
            return ring.asSlice((index % ENTRIES) * 16L, 16);
        }

        /** The next entry is that of a page; it is marked as collected. */
        void collect(long page) {
            MemorySegment entry = entry(next++);
            assertEquals(1, kvm_dirty_gfn.flags(entry), "flags");
            assertEquals(3, kvm_dirty_gfn.slot(entry), "slot");
            assertEquals(page, kvm_dirty_gfn.offset(entry), "offset");
            kvm_dirty_gfn.flags(entry, 2);
        }

        void nothing() {
            assertEquals(0, kvm_dirty_gfn.flags(entry(next)), "flags of the next entry");
        }

        int reset() {
            return m.sys.ioctl(m.fd, kvm.KVM_RESET_DIRTY_RINGS(), 0L);
        }

        @Override
        public void close() {
            ok(m.sys.munmap(ring.address(), BYTES));
            g.close();
        }
    }

    @EveryKernel
    void holdsWrittenPagesInOrder(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.nothing();
            g.store(5);
            g.store(2);
            g.store(5);
            g.store(130);
            g.collect(5);
            g.collect(2);
            g.collect(130);
            g.nothing();
        }
    }

    @EveryKernel
    void aPageIsSeenAgainAfterTheReset(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.store(5);
            g.collect(5);
            g.store(5);
            g.nothing();
            assertEquals(1, g.reset());
            assertEquals(0, g.reset());
            g.store(5);
            g.collect(5);
            assertEquals(1, g.reset());
        }
    }

    @EveryKernel
    void theResetStopsAtAnEntryThatIsNotCollected(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.store(1);
            g.store(2);
            g.store(3);
            kvm_dirty_gfn.flags(g.entry(1), 2);
            assertEquals(0, g.reset());
            kvm_dirty_gfn.flags(g.entry(0), 2);
            assertEquals(2, g.reset());
            assertEquals(0, kvm_dirty_gfn.flags(g.entry(0)), "flags");
            assertEquals(1, kvm_dirty_gfn.flags(g.entry(2)), "flags");
            g.store(1);
            assertEquals(1, kvm_dirty_gfn.offset(g.entry(3)), "offset");
        }
    }

    @EveryKernel
    void aFullRingStopsTheVcpu(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int room = ENTRIES - 64;
            for (int page = 0; page < room - 1; page++) {
                g.store(page);
            }
            g.g.start(STORE, RAM + (room - 1) * PAGE, 0x77);
            assertEquals(DIRTY_RING_FULL, g.g.run());
            assertEquals(g.g.code, kvm_regs.rip(g.g.v.regs()), "RIP");
            assertEquals(0, g.ram.get(ValueLayout.JAVA_BYTE, (room - 1) * PAGE));
            assertEquals(DIRTY_RING_FULL, g.g.run());
            for (int page = 0; page < room; page++) {
                g.collect(page);
            }
            assertEquals(DIRTY_RING_FULL, g.g.run());
            assertEquals(room, g.reset());
            assertEquals(KvmVcpu.HLT, g.g.run());
            assertEquals(0x77, g.ram.get(ValueLayout.JAVA_BYTE, (room - 1) * PAGE));
            g.collect(room - 1);
        }
    }

    @EveryKernel
    void entriesOfTheUserAreNotTrusted(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            long[][] bad = {{99, 0}, {3, PAGES}, {3, -1}, {70_000, 0}, {0x7fff_ffff, 1}, {-1, 1L << 62}};
            for (int i = 0; i < bad.length; i++) {
                g.store(i);
                kvm_dirty_gfn.slot(g.entry(i), (int) bad[i][0]);
                kvm_dirty_gfn.offset(g.entry(i), bad[i][1]);
                kvm_dirty_gfn.flags(g.entry(i), 3);
            }
            assertEquals(bad.length, g.reset());
            g.next = bad.length;
            g.store(0);
            g.nothing();
        }
    }

    @EveryKernel
    void theRingTakesTheLogsPlace(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            MemorySegment bitmap = g.m.memory(1);
            fails(Errno.ENXIO, g.m.dirtyLog(3, bitmap.address()));
            fails(Errno.ENXIO, g.m.dirtyLog(99, bitmap.address()));
            fails(Errno.ENXIO, g.m.clearDirtyLog(3, 0, 64, bitmap.address()));
            ok(g.m.enable(MANUAL_PROTECT, 1));
        }
    }

    @EveryKernel
    void onlySlotsThatLogAreInTheRing(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.slot(0));
            g.store(4);
            g.nothing();
            ok(g.slot(KvmMachine.LOG_DIRTY));
            g.store(4);
            g.collect(4);
            g.nothing();
        }
    }

    @EveryKernel
    void everyVcpuHasItsOwn(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            KvmVcpu second = g.m.vcpu(1);
            MemorySegment other = UserMappings.segment(
                    ok(g.m.sys.mmap(0, BYTES, KvmMachine.RW, Linux.MAP_SHARED, second.fd, RING_OFFSET)), BYTES);
            g.store(4);
            second.realMode(g.g.code, (RAM + 7 * PAGE) >>> 4);
            second.runTo(KvmVcpu.HLT);
            g.collect(4);
            g.nothing();
            assertEquals(7, kvm_dirty_gfn.offset(other));
            assertEquals(1, kvm_dirty_gfn.flags(other));
            kvm_dirty_gfn.flags(other, 2);
            assertEquals(2, g.reset());
            ok(g.m.sys.munmap(other.address(), BYTES));
        }
    }

    @EveryKernel
    void isMappedSharedAndWithoutExecution(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int fd = g.g.v.fd;
            fails(Errno.EINVAL, g.m.sys.mmap(0, BYTES, KvmMachine.RW, Linux.MAP_PRIVATE, fd, RING_OFFSET));
            long executable = g.m.sys.mmap(0, BYTES, KvmMachine.RW | 4, Linux.MAP_SHARED, fd, RING_OFFSET);
            // Where no file of this kind may be executed at all, that is found out first.
            assertTrue(executable == -Errno.EINVAL || executable == -Errno.EPERM, () -> "mmap: " + executable);
            fails(Errno.EINVAL, g.m.sys.mmap(0, 65 * PAGE, KvmMachine.RW, Linux.MAP_PRIVATE, fd, 0));
            ok(g.m.sys.munmap(ok(g.m.sys.mmap(0, PAGE, KvmMachine.RW, Linux.MAP_PRIVATE, fd, RING_OFFSET - PAGE)), PAGE));
            ok(g.m.sys.munmap(ok(g.m.sys.mmap(0, PAGE, KvmMachine.RW, Linux.MAP_PRIVATE, fd, RING_OFFSET + BYTES)), PAGE));
        }
    }

    @EveryKernel
    void oneMappingShowsAllPages(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            MemorySegment all = g.m.map(70, Linux.MAP_SHARED, g.g.v.fd);
            g.store(9);
            assertEquals(9, all.get(ValueLayout.JAVA_LONG, RING_OFFSET + 8));
            assertEquals(KvmVcpu.HLT, all.get(ValueLayout.JAVA_INT, 8));
            assertThrows(InternalError.class, () -> all.get(ValueLayout.JAVA_LONG, 3 * PAGE));
            assertThrows(InternalError.class, () -> all.get(ValueLayout.JAVA_LONG, RING_OFFSET + BYTES));
        }
    }

    @EveryKernel
    void isSetOnceBeforeTheFirstVcpu(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(RING_ACQ_REL, "KVM_CAP_DIRTY_LOG_RING_ACQ_REL");
            assertEquals(1 << 20, m.has(RING_ACQ_REL));
            assertEquals(1 << 20, m.has(RING));
            assertEquals(0, m.has(RING_WITH_BITMAP));
            for (long size : new long[] {0, 2048, 4097, 12288, 1L << 32, 1}) {
                fails(Errno.EINVAL, m.enable(RING, size));
            }
            fails(Errno.E2BIG, m.enable(RING, 1 << 21));
            fails(Errno.E2BIG, m.enable(RING, 1L << 31));
            fails(Errno.EINVAL, m.enable(RING_WITH_BITMAP, 1));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_RESET_DIRTY_RINGS(), 0L));
            ok(m.enable(RING, 1L << 32 | 1 << 20));
            fails(Errno.EINVAL, m.enable(RING, 1 << 20));
            fails(Errno.EINVAL, m.enable(RING_ACQ_REL, 4096));
            assertEquals(0, m.sys.ioctl(m.fd, kvm.KVM_RESET_DIRTY_RINGS(), 0L));
        }
    }

    @EveryKernel
    void isNotSetAfterTheFirstVcpu(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(RING, "KVM_CAP_DIRTY_LOG_RING");
            m.vcpu(0);
            fails(Errno.EINVAL, m.enable(RING, 4096));
        }
    }
}
