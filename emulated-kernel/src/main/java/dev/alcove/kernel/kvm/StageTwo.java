// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.GuestBus;
import dev.alcove.kernel.gmem.GuestMemfd;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.MmuNotifier;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A machine's translation of guest frames to host addresses, and how it is taken back.
 *
 * <p><b>Tables.</b> Each memslot holds its entries. A vCPU that misses in the TLB of its processor finds an entry
 * without a lock, or makes one ({@link #fault}).
 *
 * <p><b>Invalidation</b>, as in Linux. Whoever takes frames away (a punched guest_memfd, a changed attribute, a changed
 * memslot, an unmapped user range through {@link MmuNotifier}) calls {@code invalidateStart}, changes what it wants to
 * change, and calls {@code invalidateEnd}. In between no entry is made for the range. A fault takes a snapshot of
 * {@link #sequence}, looks the frame up without any lock of this class, and enters it with the mmu lock held only if no
 * invalidation covers it or has ended since the snapshot. So the frame that it found needs no reference.
 *
 * <p>An invalidation takes the mmu lock only where there is an entry to remove, or a fault under way ({@link #faults}).
 * A fault counts itself first and then looks for invalidations; an invalidation publishes itself first ({@link
 * Invalidations}) and then looks for faults, all by volatile accesses. So a fault that does not see an invalidation is
 * seen by it, if it is not through, and then the mmu lock puts its entry before the removal, or its check behind the
 * publication. A fault that is not seen has made its entry before, which is found, or sees the range until it has been
 * given up. Only who is seen at the end can have an older snapshot, or wait.
 *
 * <p><b>Processors.</b> A processor remembers host addresses. After entries were removed, {@code invalidateStart} asks
 * every vCPU for a flush and waits for each that is in guest mode ({@link GuestMode}). A vCPU answers between two
 * instructions ({@link VcpuBus#attend}), and leaves guest mode before it looks up a frame, serves a device access, or
 * goes back to user space: nobody waits for a vCPU that could wait for somebody. A vCPU whose flush is asked for while
 * it looks up a frame must not go on with the instruction, because the instruction may hold other host addresses: the
 * lookup answers {@code BLOCKED} with {@link VcpuBus#takeRetry} set, and the instruction starts again after the flush.
 * When {@code invalidateStart} returns, no instruction that began before uses a frame of the range any more; only then
 * are the frames freed.
 *
 * <p>Locks: the mmu lock is a leaf; nobody waits for a vCPU while holding it.
 */
final class StageTwo {
    private final Vm vm;
    private final Mm mm;
    private final PhysicalMemory memory;
    private final Memslots slots;
    private final List<GuestMode> modes = new CopyOnWriteArrayList<>();

    private final ReentrantLock mmuLock = new ReentrantLock();
    private final Condition idle = mmuLock.newCondition();

    /**
     * Entries that say there is no memory (MMIO SPTEs), by guest frame: the generation of the memslots that this is true
     * of. No invalidation takes them away, a change of an attribute neither; only an entry for memory does. In machines
     * without private memory nobody could tell, and there are none.
     */
    private final Map<Long, Integer> deviceEntries = new ConcurrentHashMap<>();

    /** Invalidations that have started and not ended. */
    private final Invalidations invalidations = new Invalidations();

    /** Number of faults under way, between their first look for invalidations and their last. */
    private final AtomicInteger faults = new AtomicInteger();

    /** Number of those who have removed entries, or are about to, and have not flushed all processors yet. */
    private final AtomicInteger flushing = new AtomicInteger();

    /** Number of invalidations that have ended under the eyes of a fault. Written with the mmu lock held. */
    private final AtomicLong sequence = new AtomicLong();

    StageTwo(Vm vm, Mm mm, PhysicalMemory memory, Memslots slots) {
        this.vm = vm;
        this.mm = mm;
        this.memory = memory;
        this.slots = slots;
    }

    /** Adds a vCPU. */
    void add(GuestMode mode) {
        modes.add(mode);
    }

    /** Takes a vCPU out that never ran. */
    void remove(GuestMode mode) {
        modes.remove(mode);
    }

    /** A user address that a device access goes to, or -1 where the guest address is none of a slot. */
    long deviceAddress(long gpa) {
        Memslot slot = slots.find(gpa >>> 12);
        return slot == null || vm.isPrivate(gpa >>> 12) ? -1 : slot.hva(gpa >>> 12) | (gpa & 4095);
    }

    /** The user address behind a guest address, or -1 where there is no slot, or one that is not to be written. */
    long userAddress(long gpa, boolean write) {
        Memslot slot = slots.find(gpa >>> 12);
        return slot == null || (write && slot.readOnly()) ? -1 : slot.hva(gpa >>> 12) | (gpa & 4095);
    }

    /** Reads 8 bytes, aligned, for the kernel's own use; -1 where there is no memory. */
    long read(long gpa) {
        long address = userAddress(gpa, false);
        long[] word = new long[1];
        return address == -1 || mm.copyIn(address, MemorySegment.ofArray(word)) != 0 ? -1 : word[0];
    }

    /** Writes memory for the kernel's own use, within a page; false where there is none. */
    boolean write(long gpa, int size, long value) {
        long address = userAddress(gpa, true);
        return address != -1 && mm.copyOut(address, MemorySegment.ofArray(new long[] {value}).asSlice(0, size)) == 0;
    }

    /** Notes a write that the kernel has made for the guest. */
    void markDirty(long gfn, @Nullable DirtyRing ring) {
        mmuLock.lock();
        try {
            Memslot slot = slots.find(gfn);
            if (slot != null) {
                slot.markDirty(gfn, ring);
            }
        } finally {
            mmuLock.unlock();
        }
    }

    /**
     * Resolves a guest page for a vCPU that is outside guest mode.
     *
     * @return what {@link GuestBus#page} answers
     */
    long fault(VcpuBus bus, long gfn, boolean write) {
        Integer known = deviceEntries.get(gfn);
        if (known != null && known == slots.generation()) {
            return GuestBus.MMIO;
        }
        return fault(bus, gfn, write, known == null);
    }

    /** @param mayBePrivate whether the access is private where the page is; one through a device entry never is */
    private long fault(VcpuBus bus, long gfn, boolean write, boolean mayBePrivate) {
        faults.getAndIncrement();
        try {
            return resolve(bus, gfn, write, mayBePrivate);
        } finally {
            faults.getAndDecrement();
        }
    }

    private long resolve(VcpuBus bus, long gfn, boolean write, boolean mayBePrivate) {
        while (true) {
            long snapshot = awaitQuiet(gfn);
            boolean isPrivate = vm.isPrivate(gfn);
            if (isPrivate && !mayBePrivate) {
                return bus.memoryFault(gfn, false, Errno.EFAULT);
            }
            int generation = slots.generation();
            Memslot slot = slots.find(gfn);
            if (slot == null) {
                if (isPrivate) {
                    return bus.memoryFault(gfn, true, Errno.EFAULT);
                }
                if (vm.hasPrivateMemory()) {
                    deviceEntries.put(gfn, generation);
                }
                return GuestBus.MMIO;
            }
            long pfn;
            long bits = write ? Memslot.WRITABLE : 0;
            if (isPrivate || slot.gmemOnly()) {
                GuestMemfd gmem = slot.gmem();
                pfn = gmem == null ? -Errno.EFAULT : gmem.frame(slot.gmemIndex(gfn));
                bits = Memslot.WRITABLE | Memslot.FROM_GMEM;
            } else if (write && slot.readOnly()) {
                return GuestBus.READ_ONLY;
            } else {
                // As Linux does: what the user could write is made writable for the guest at once, and counts as written.
                if (slot.logs() && !slot.readOnly() && mm.writableNow(slot.hva(gfn))) {
                    bits = Memslot.WRITABLE;
                }
                pfn = mm.faultIn(slot.hva(gfn), write);
            }
            if (pfn < 0) {
                if (sequence.get() != snapshot) {
                    continue; // the failure may be the invalidation's doing
                }
                return refuse(bus, slot, gfn, isPrivate, (int) -pfn);
            }
            long address = memory.address(pfn);
            if (enter(bus, slot, gfn, address | bits, snapshot)) {
                return address;
            }
        }
    }

    private long refuse(VcpuBus bus, Memslot slot, long gfn, boolean isPrivate, int errno) {
        if (isPrivate || slot.gmemOnly()) {
            return bus.memoryFault(gfn, isPrivate, errno);
        }
        if (mm.deviceAt(slot.hva(gfn)) != null) {
            return GuestBus.MMIO;
        }
        return bus.bareFault(errno);
    }

    /** Waits until no invalidation covers the frame; answers the sequence. */
    private long awaitQuiet(long gfn) {
        mmuLock.lock();
        try {
            while (invalidations.cover(gfn)) {
                idle.awaitUninterruptibly();
            }
            return sequence.get();
        } finally {
            mmuLock.unlock();
        }
    }

    private boolean enter(VcpuBus bus, Memslot slot, long gfn, long entry, long snapshot) {
        mmuLock.lock();
        try {
            if (slot.dead || sequence.get() != snapshot || invalidations.cover(gfn)) {
                return false;
            }
            slot.enter(gfn, entry);
            deviceEntries.remove(gfn);
            if ((entry & (Memslot.WRITABLE | Memslot.FROM_GMEM)) == Memslot.WRITABLE) {
                slot.markDirty(gfn, bus.dirtyRing());
            }
            return true;
        } finally {
            mmuLock.unlock();
        }
    }

    /** Resolves a page ahead of an access (KVM_PRE_FAULT_MEMORY); 0 or a negated errno. */
    int preFault(VcpuBus bus, long gfn) {
        Memslot slot = slots.find(gfn);
        if (slot != null && slot.entry(gfn) != 0) {
            return 0;
        }
        long page = fault(bus, gfn, false, true);
        if (page == GuestBus.BLOCKED) {
            return bus.reportFault();
        }
        return page == GuestBus.MMIO && slots.find(gfn) == null ? -Errno.ENOENT : 0;
    }

    /** Takes frames [first, end) of one slot away, whose entries nobody hands on to another one meanwhile. */
    void invalidateStart(Memslot slot, long first, long end) {
        invalidations.narrow(invalidations.start(first, end), first, end);
        if (faults.get() != 0 || slot.hasEntry(first, end, false)) {
            zap(List.of(slot), first, end);
        } else {
            awaitFlushes();
        }
    }

    /** Takes frames [first, end) of all slots away; the machine's slots lock is held. */
    void invalidateStart(long first, long end) {
        invalidations.narrow(invalidations.start(first, end), first, end);
        List<Memslot> affected = slots.overlapping(first, end);
        boolean look = faults.get() != 0;
        for (int i = 0; !look && i < affected.size(); i++) {
            look = affected.get(i).hasEntry(first, end, false);
        }
        if (look) {
            zap(affected, first, end);
        } else {
            awaitFlushes();
        }
    }

    private void zap(List<Memslot> affected, long first, long end) {
        boolean zapped = false;
        mmuLock.lock();
        try {
            for (Memslot slot : affected) {
                zapped |= zap(slot, first, end, false, zapped);
            }
        } finally {
            mmuLock.unlock();
        }
        flushAfter(zapped);
    }

    /** Zaps entries; the mmu lock is held. The first caller of several that have to tells of the flush before. */
    private boolean zap(Memslot slot, long first, long end, boolean onlyShared, boolean told) {
        if (!slot.hasEntry(first, end, onlyShared)) {
            return false;
        }
        if (!told) {
            flushing.getAndIncrement();
        }
        return slot.zap(first, end, onlyShared);
    }

    private void flushAfter(boolean zapped) {
        if (zapped) {
            try {
                flush();
            } finally {
                flushing.getAndDecrement();
            }
        } else {
            awaitFlushes();
        }
    }

    /** Who finds no entry may have been overtaken by another who has removed it, and still waits for processors. */
    private void awaitFlushes() {
        if (flushing.get() != 0) {
            flush();
        }
    }

    /**
     * Ends an invalidation that the same thread has started.
     *
     * @param from and {@code to}: the range that it has been started with
     */
    void invalidateEnd(long from, long to) {
        invalidations.end(from, to);
        if (faults.get() == 0) {
            return;
        }
        mmuLock.lock();
        try {
            sequence.incrementAndGet();
            idle.signalAll();
        } finally {
            mmuLock.unlock();
        }
    }

    /** Takes the entries of all slots away. */
    void zapAll() {
        flushing.getAndIncrement();
        mmuLock.lock();
        try {
            slots.all().forEach(slot -> slot.zap(slot.baseGfn, slot.endGfn(), false));
        } finally {
            mmuLock.unlock();
        }
        flushAfter(true);
    }

    /** A slot is about to be replaced or deleted: {@link #invalidateStart}, for ever. */
    void retire(Memslot slot) {
        mmuLock.lock();
        try {
            slot.dead = true;
        } finally {
            mmuLock.unlock();
        }
        invalidateStart(slot, slot.baseGfn, slot.endGfn());
    }

    /**
     * A slot takes another one's place, with its entries.
     *
     * @param protect whether the next write to each page has to be seen
     */
    void succeed(Memslots slots, Memslot old, Memslot fresh, boolean protect) {
        mmuLock.lock();
        try {
            old.dead = true;
            fresh.share(old);
            if (protect) {
                fresh.protect(fresh.baseGfn, fresh.endGfn());
            }
            // Who finds the old slot's table empty without a lock is to find that the slot is none any more.
            slots.replace(old, fresh);
            old.letGo();
        } finally {
            mmuLock.unlock();
        }
    }

    /** Takes the dirty bitmap of a slot, and protects its pages, so that the next write is seen. Null without a log. */
    long @Nullable [] takeDirty(Memslot slot) {
        long[] bits;
        boolean changed;
        mmuLock.lock();
        try {
            bits = slot.takeDirty();
            changed = bits != null && slot.protect(slot.baseGfn, slot.endGfn());
        } finally {
            mmuLock.unlock();
        }
        if (changed) {
            flush();
        }
        return bits;
    }

    /** Protects a page, so that the next write is seen; the caller flushes. */
    void protect(Memslot slot, long gfn) {
        mmuLock.lock();
        try {
            slot.protect(gfn, gfn + 1);
        } finally {
            mmuLock.unlock();
        }
    }

    /** The dirty bitmap of a slot as it is, null without a log. */
    long @Nullable [] dirty(Memslot slot) {
        mmuLock.lock();
        try {
            long[] bits = slot.dirty();
            return bits == null ? null : bits.clone();
        } finally {
            mmuLock.unlock();
        }
    }

    /**
     * Clears bits in the dirty log of a slot, and protects these pages, so that the next write is seen.
     *
     * @param bits from page {@code 64 * firstWord} on
     */
    void clearDirty(Memslot slot, int firstWord, long[] bits) {
        boolean changed = false;
        mmuLock.lock();
        try {
            long[] dirty = slot.dirty();
            for (int i = 0; dirty != null && i < bits.length; i++) {
                long cleared = dirty[firstWord + i] & bits[i];
                dirty[firstWord + i] ^= cleared;
                for (; cleared != 0; cleared &= cleared - 1) {
                    long gfn = slot.baseGfn + (firstWord + i) * 64L + Long.numberOfTrailingZeros(cleared);
                    changed |= slot.protect(gfn, gfn + 1);
                }
            }
        } finally {
            mmuLock.unlock();
        }
        if (changed) {
            flush();
        }
    }

    /** Takes the entries away that came from user addresses [start, end). */
    private final class UserMappings implements MmuNotifier {
        @Override
        public void invalidateStart(long start, long end) {
            int place = invalidations.start(~start, end);
            List<Memslot> all = slots.all();
            narrow(place, all, start, end);
            // Entries go over to a slot in another's place under the mmu lock, and by then that slot is to be seen.
            if (faults.get() == 0 && !hasEntry(all, start, end) && slots.all() == all) {
                awaitFlushes();
                return;
            }
            boolean zapped = false;
            mmuLock.lock();
            try {
                all = slots.all();
                narrow(place, all, start, end);
                for (Memslot slot : all) {
                    zapped |= zap(slot, slot.firstAt(start), slot.endAt(end), true, zapped);
                }
            } finally {
                mmuLock.unlock();
            }
            flushAfter(zapped);
        }

        /** Covers the frames from the first that is concerned to the last. */
        private void narrow(int place, List<Memslot> all, long start, long end) {
            long first = Long.MAX_VALUE;
            long last = 0;
            for (Memslot slot : all) {
                if (slot.firstAt(start) < slot.endAt(end)) {
                    first = Math.min(first, slot.firstAt(start));
                    last = Math.max(last, slot.endAt(end));
                }
            }
            invalidations.narrow(place, first, last);
        }

        private boolean hasEntry(List<Memslot> all, long start, long end) {
            for (Memslot slot : all) {
                if (slot.hasEntry(slot.firstAt(start), slot.endAt(end), true)) {
                    return true;
                }
            }
            return false;
        }

        @Override
        public void invalidateEnd(long start, long end) {
            StageTwo.this.invalidateEnd(~start, end);
        }
    }

    /** What has to be told of changes of the user's mappings. */
    MmuNotifier userMappings() {
        return new UserMappings();
    }

    /** Makes every vCPU forget its translations; returns when none uses an old one. */
    void flush() {
        List<GuestMode> running = new ArrayList<>();
        for (GuestMode mode : modes) {
            if (mode.request()) {
                running.add(mode);
            }
        }
        vm.statistics().flushed(!running.isEmpty());
        running.forEach(GuestMode::awaitFlush);
    }
}
