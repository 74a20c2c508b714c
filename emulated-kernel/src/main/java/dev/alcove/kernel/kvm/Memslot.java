// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.gmem.GmemSlot;
import dev.alcove.kernel.gmem.GuestMemfd;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * A memslot: guest frames, the user addresses or the part of a guest_memfd behind them, and this slot's part of the
 * stage-2 table. A change of a slot makes a new one; the old one is {@link #dead} and its table stays empty for ever.
 *
 * <p>The table is read without a lock; it is written with the mmu lock of {@link StageTwo} held.
 */
final class Memslot implements GmemSlot {
    /** KVM_MEM_LOG_DIRTY_PAGES. */
    static final int LOG_DIRTY = 1;

    /** KVM_MEM_READONLY. */
    static final int READONLY = 2;

    /** KVM_MEM_GUEST_MEMFD. */
    static final int GUEST_MEMFD = 4;

    /** Bit of a stage-2 entry: the guest may write. */
    static final long WRITABLE = 1;

    /** Bit of a stage-2 entry: the page is one of the guest_memfd, not one behind a user address. */
    static final long FROM_GMEM = 2;

    /** The bits of a stage-2 entry that are the host address. */
    static final long ADDRESS = -4096L;

    private static final int CHUNK_SHIFT = 9;
    private static final int CHUNK = 1 << CHUNK_SHIFT;

    private final StageTwo stageTwo;
    final int id;
    final long baseGfn;
    final long pages;
    final long userspaceAddress;
    final int flags;

    /** First page in the guest_memfd. */
    final long gmemOffset;

    private volatile @Nullable GuestMemfd gmem;
    private boolean gmemOnly;

    /** The slot is being deleted or replaced: nothing may be entered in its table. Guarded by the mmu lock. */
    boolean dead;

    /** Null until the first entry. */
    private volatile @Nullable AtomicReferenceArray<AtomicLongArray> table;

    /** One bit per page, or null without LOG_DIRTY. Guarded by the mmu lock. */
    private long @Nullable [] dirty;

    Memslot(
            StageTwo stageTwo,
            int id,
            long baseGfn,
            long pages,
            long userspaceAddress,
            int flags,
            long gmemOffset) {
        this.stageTwo = stageTwo;
        this.id = id;
        this.baseGfn = baseGfn;
        this.pages = pages;
        this.userspaceAddress = userspaceAddress;
        this.flags = flags;
        this.gmemOffset = gmemOffset;
    }

    /**
     * Starts the dirty log, before anybody sees the slot.
     *
     * @param old the slot that this one replaces: a log that it has goes on
     * @param full whether a new log starts with all pages
     */
    void startLog(@Nullable Memslot old, boolean full) {
        long[] bits = old == null ? null : old.dirty;
        if (bits == null) {
            bits = new long[(int) ((pages + 63) >>> 6)];
            if (full) {
                Arrays.fill(bits, -1);
                bits[bits.length - 1] >>>= -pages & 63;
            }
        }
        dirty = bits;
    }

    /** Whether its dirty log is a bitmap that is there. */
    boolean hasLog() {
        return dirty != null;
    }

    /** Whether it has a dirty log. */
    boolean logs() {
        return (flags & LOG_DIRTY) != 0;
    }

    /** Sets the file behind the slot, before anybody sees the slot. */
    void attach(GuestMemfd file) {
        gmem = file;
        gmemOnly = file.mappable() || file.convertsInPlace();
    }

    /** The file, or null when the slot has none or it has been released. */
    @Nullable GuestMemfd gmem() {
        return gmem;
    }

    boolean hasGmem() {
        return (flags & GUEST_MEMFD) != 0;
    }

    /** Whether shared accesses are served by the guest_memfd as well. */
    boolean gmemOnly() {
        return gmemOnly;
    }

    boolean readOnly() {
        return (flags & READONLY) != 0;
    }

    long endGfn() {
        return baseGfn + pages;
    }

    boolean contains(long gfn) {
        return gfn >= baseGfn && gfn < baseGfn + pages;
    }

    /** The user address of a guest frame. */
    long hva(long gfn) {
        return userspaceAddress + ((gfn - baseGfn) << 12);
    }

    /** The first guest frame whose page ends behind a user address. */
    long firstAt(long address) {
        return baseGfn + (Math.max(0, address - userspaceAddress) >>> 12);
    }

    /** The end of the guest frames of the slot whose page starts before a user address. */
    long endAt(long address) {
        long bytes = Math.min(address - userspaceAddress, pages << 12);
        return bytes <= 0 ? baseGfn : baseGfn + ((bytes + 4095) >>> 12);
    }

    /** The page in the guest_memfd of a guest frame. */
    long gmemIndex(long gfn) {
        return gmemOffset + (gfn - baseGfn);
    }

    /** The stage-2 entry of a guest frame, 0 for none. */
    long entry(long gfn) {
        AtomicReferenceArray<AtomicLongArray> all = table;
        if (all == null) {
            return 0;
        }
        long page = gfn - baseGfn;
        AtomicLongArray chunk = all.getAcquire((int) (page >>> CHUNK_SHIFT));
        return chunk == null ? 0 : chunk.getAcquire((int) page & CHUNK - 1);
    }

    /** Number of entries, as far as it can be said while they change. */
    long entries() {
        AtomicReferenceArray<AtomicLongArray> all = table;
        long count = 0;
        for (int i = 0; all != null && i < all.length(); i++) {
            AtomicLongArray chunk = all.get(i);
            for (int at = 0; chunk != null && at < CHUNK; at++) {
                count += chunk.getPlain(at) == 0 ? 0 : 1;
            }
        }
        return count;
    }

    /** Makes an entry; the mmu lock is held. */
    void enter(long gfn, long entry) {
        AtomicReferenceArray<AtomicLongArray> all = table;
        if (all == null) {
            all = new AtomicReferenceArray<>((int) ((pages + CHUNK - 1) >>> CHUNK_SHIFT));
            table = all;
        }
        long page = gfn - baseGfn;
        int at = (int) (page >>> CHUNK_SHIFT);
        AtomicLongArray chunk = all.getPlain(at);
        if (chunk == null) {
            chunk = new AtomicLongArray(CHUNK);
            all.setRelease(at, chunk);
        }
        chunk.setRelease((int) page & CHUNK - 1, entry);
    }

    /**
     * Whether a guest frame of [first, end), as far as they are in the slot, has an entry.
     *
     * @param onlyShared whether entries that came from the guest_memfd do not count
     */
    boolean hasEntry(long first, long end, boolean onlyShared) {
        AtomicReferenceArray<AtomicLongArray> all = table;
        long page = Math.max(first, baseGfn) - baseGfn;
        long last = all == null ? 0 : Math.min(end, endGfn()) - baseGfn;
        while (all != null && page < last) {
            AtomicLongArray chunk = all.getAcquire((int) (page >>> CHUNK_SHIFT));
            long stop = Math.min(last, (page | CHUNK - 1) + 1);
            for (; chunk != null && page < stop; page++) {
                long entry = chunk.getAcquire((int) page & CHUNK - 1);
                if (entry != 0 && !(onlyShared && (entry & FROM_GMEM) != 0)) {
                    return true;
                }
            }
            page = stop;
        }
        return false;
    }

    /**
     * Removes the entries of guest frames [first, end), as far as they are in the slot; the mmu lock is held.
     *
     * @param onlyShared whether entries that came from the guest_memfd stay
     * @return whether there was one
     */
    boolean zap(long first, long end, boolean onlyShared) {
        AtomicReferenceArray<AtomicLongArray> all = table;
        if (all == null) {
            return false;
        }
        boolean found = false;
        long page = Math.max(first, baseGfn) - baseGfn;
        long last = Math.min(end, endGfn()) - baseGfn;
        while (page < last) {
            AtomicLongArray chunk = all.getPlain((int) (page >>> CHUNK_SHIFT));
            long stop = Math.min(last, (page | CHUNK - 1) + 1);
            if (chunk == null) {
                page = stop;
                continue;
            }
            for (; page < stop; page++) {
                int at = (int) page & CHUNK - 1;
                long entry = chunk.getPlain(at);
                if (entry != 0 && !(onlyShared && (entry & FROM_GMEM) != 0)) {
                    chunk.setRelease(at, 0);
                    found = true;
                }
            }
        }
        return found;
    }

    /**
     * Makes the entries of guest frames [first, end) read-only, so that the next write is seen; the mmu lock is held.
     *
     * @return whether one was not
     */
    boolean protect(long first, long end) {
        boolean found = false;
        for (long gfn = first; gfn < end; gfn++) {
            long entry = entry(gfn);
            if ((entry & WRITABLE) != 0) {
                enter(gfn, entry & ~WRITABLE);
                found = true;
            }
        }
        return found;
    }

    /** Takes the table of the slot that this one replaces in its place; the mmu lock is held. */
    void share(Memslot old) {
        table = old.table;
    }

    /** Gives up the table that another slot has taken; the mmu lock is held. */
    void letGo() {
        table = null;
    }

    /**
     * Notes a write; the mmu lock is held.
     *
     * @param ring of the vCPU that writes, or null
     */
    void markDirty(long gfn, @Nullable DirtyRing ring) {
        long[] bits = dirty;
        if (ring != null && logs()) {
            ring.push(id, gfn - baseGfn);
        }
        if (bits != null) {
            long page = gfn - baseGfn;
            bits[(int) (page >>> 6)] |= 1L << page;
        }
    }

    /** The pages written, and not taken or cleared since. Guarded by the mmu lock. Null without a log. */
    long @Nullable [] dirty() {
        return dirty;
    }

    /** The pages written since the last call; the caller holds the mmu lock and zaps the table. Null without a log. */
    long @Nullable [] takeDirty() {
        long[] bits = dirty;
        if (bits != null) {
            dirty = new long[bits.length];
        }
        return bits;
    }

    @Override
    public void invalidateStart(long first, long count) {
        stageTwo.invalidateStart(this, baseGfn + first, baseGfn + first + count);
    }

    @Override
    public void invalidateEnd(long first, long count) {
        stageTwo.invalidateEnd(baseGfn + first, baseGfn + first + count);
    }

    @Override
    public void unbound() {
        gmem = null;
    }
}
