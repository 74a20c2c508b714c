// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.kernel.locking.RwSemaphore;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * The address space of a process ({@code mm_struct}): its VMAs. Each VMA is also a real mapping in the JVM's process at
 * the same address, so that user code above the seam reads and writes the very frames. What is not mapped raises
 * SIGBUS, which the JVM turns into an InternalError.
 *
 * <p>A pin of one page takes no lock of the address space, as get_user_pages_fast(): it looks at a snapshot of the VMAs,
 * and whether that is still the one when it has the page. The store's lock keeps a punch away from pages that are pinned.
 *
 * <p>Lock order: address space, then page store, then whatever an {@link MmuNotifier} takes (leaves), then frames.
 * Faults, pins and copies share the lock; changes of the VMAs, and punches of a store that is mapped here, hold it
 * alone, but for punches that leave the store its frames: these take none, so that a notifier may be told of one that
 * began before it was there, or after it has gone. Owners of mappings are released after the lock is dropped, as a
 * release may take any lock.
 */
public final class AddressSpace extends Mm {
    static final int READ_WRITE = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final long HUGE = 2 << 20;

    private final PhysicalMemory memory;
    private final long base;
    private final long size;
    private final RwSemaphore lock = new RwSemaphore();
    /** By start address. Guarded by the lock. */
    private final TreeMap<Long, Vma> vmas = new TreeMap<>();
    /** The {@link #vmas}, for who holds no lock; null before any of them changes, until somebody asks again. */
    private volatile Vma @Nullable [] snapshot;
    /** Free page numbers of the reservation. Guarded by the lock. */
    private final Extents free;
    private final CopyOnWriteArrayList<MmuNotifier> notifiers = new CopyOnWriteArrayList<>();
    private volatile boolean gone;

    /** Punches a hole into a mapped file, for MADV_REMOVE: offset and length in bytes; 0 or a negated errno. */
    @FunctionalInterface
    public interface Remover {
        int remove(Referenced owner, long offset, long length);
    }

    /** @param pages size of the range of addresses that mappings are placed in */
    public AddressSpace(PhysicalMemory memory, long pages) {
        this.memory = memory;
        size = pages << Linux.PAGE_SHIFT;
        base = memory.reserveUser(size);
        free = new Extents(base >> Linux.PAGE_SHIFT, pages);
    }

    // mmap, munmap, madvise.

    /**
     * Maps private zeroes.
     *
     * @param length bytes, a multiple of 4096 above 0, as for all of these methods
     * @return the address, or a negated errno
     */
    public long mapAnonymous(long address, long length, int protection, int flags) {
        AnonymousMemory anonymous = new AnonymousMemory(memory, length >> Linux.PAGE_SHIFT);
        return place(address, length, protection, flags, anonymous, anonymous.store, null, 0);
    }

    /**
     * Maps pages of a file, shared or private.
     *
     * @param owner one reference is taken over
     * @return the address, or a negated errno
     */
    public long mapPages(
            long address, long length, int protection, int flags, Referenced owner, PageStore store, long firstPage) {
        if ((flags & Linux.MAP_TYPE) == Linux.MAP_PRIVATE && (protection & Linux.PROT_WRITE) != 0) {
            long pages = length >> Linux.PAGE_SHIFT;
            AnonymousMemory copy = new AnonymousMemory(memory, pages, owner, store, firstPage);
            if (!copy.charge() || !copy.fill(0, pages)) {
                copy.put();
                return -Errno.ENOMEM;
            }
            return place(address, length, protection, flags, copy, copy.store, null, 0);
        }
        return place(address, length, protection, flags, owner, store, null, firstPage);
    }

    /**
     * Maps device registers.
     *
     * @param owner one reference is taken over
     * @param offset in the region, in bytes
     * @return the address, or a negated errno
     */
    public long mapDevice(
            long address, long length, int protection, int flags, Referenced owner, MmioRegion region, long offset) {
        return place(address, length, protection, flags, owner, null, region, offset);
    }

    private long place(
            long hint,
            long length,
            int protection,
            int flags,
            Referenced owner,
            @Nullable PageStore store,
            @Nullable MmioRegion region,
            long offset) {
        List<Referenced> released = new ArrayList<>();
        lock();
        try {
            long address = gone || !memory.mayAllocate("vma") ? -Errno.ENOMEM : find(hint, length, alignment(length, store), flags, released);
            if (Linux.isError(address)) {
                released.add(owner);
                return address;
            }
            boolean shared = (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE;
            Vma vma = new Vma(this, address, address + length, protection, shared, owner, store, region, offset);
            int error = store == null ? 0 : store.shown().map(vma);
            if (error != 0) {
                hide(address, vma.pages());
                free.give(address >> Linux.PAGE_SHIFT, vma.pages());
                released.add(owner);
                return error;
            }
            snapshot = null;
            vmas.put(address, vma);
            return address;
        } finally {
            unlock();
            released.forEach(Referenced::put);
        }
    }

    /** Bytes that the address of a new mapping is a multiple of, where the kernel chooses it. */
    private static long alignment(long length, @Nullable PageStore store) {
        HugePages pool = store == null ? null : store.pool();
        return Math.max(length >= HUGE ? HUGE : PAGE, pool == null ? PAGE : pool.bytes());
    }

    /** Takes the addresses for a new mapping. */
    private long find(long hint, long length, long alignment, int flags, List<Referenced> released) {
        boolean noReplace = (flags & Linux.MAP_FIXED_NOREPLACE) != 0;
        long pages = length >> Linux.PAGE_SHIFT;
        if ((flags & Linux.MAP_FIXED) != 0 || noReplace) {
            if ((hint & PAGE - 1) != 0) {
                return -Errno.EINVAL;
            }
            if (!inside(hint, length)) {
                return -Errno.ENOMEM;
            }
            if (!noReplace && splitsHugePage(hint, hint + length)) {
                return -Errno.EINVAL;
            }
            if (!noReplace) {
                cut(hint, hint + length, released);
            }
            return free.takeAt(hint >> Linux.PAGE_SHIFT, pages) ? hint : -Errno.EEXIST;
        }
        long page = (hint + PAGE - 1) >> Linux.PAGE_SHIFT;
        if (hint > 0 && inside(page << Linux.PAGE_SHIFT, length) && free.takeAt(page, pages)) {
            return page << Linux.PAGE_SHIFT;
        }
        page = free.take(pages, alignment >> Linux.PAGE_SHIFT);
        return page < 0 ? -Errno.ENOMEM : page << Linux.PAGE_SHIFT;
    }

    private boolean inside(long address, long length) {
        return address >= base && length <= size && address - base <= size - length;
    }

    /** Takes every mapping in a range of page aligned addresses away; 0, or {@code -EINVAL} for a part of a huge page. */
    public int unmap(long address, long length) {
        List<Referenced> released = new ArrayList<>();
        lock();
        try {
            if (splitsHugePage(address, address + length)) {
                return -Errno.EINVAL;
            }
            cut(address, address + length, released);
        } finally {
            unlock();
            released.forEach(Referenced::put);
        }
        return 0;
    }

    private boolean splitsHugePage(long start, long end) {
        for (Vma vma : overlapping(start, end)) {
            HugePages pool = vma.store() == null ? null : vma.store().pool();
            boolean first = pool == null || pool.aligned(start) || start <= vma.start();
            boolean last = pool == null || pool.aligned(end) || end >= vma.end();
            if (!(first && last)) {
                return true;
            }
        }
        return false;
    }

    private void cut(long start, long end, List<Referenced> released) {
        List<Vma> hit = overlapping(start, end);
        snapshot = null;
        for (Vma vma : hit) {
            long from = Math.max(start, vma.start());
            long to = Math.min(end, vma.end());
            invalidate(from, to, true);
            List<Vma> parts = new ArrayList<>(2);
            if (vma.start() < from) {
                parts.add(vma.part(vma.start(), from));
            }
            if (to < vma.end()) {
                parts.add(vma.part(to, vma.end()));
            }
            vmas.remove(vma.start());
            for (Vma part : parts) {
                vma.owner().get();
                vmas.put(part.start(), part);
            }
            if (vma.store() != null) {
                vma.store().shown().replace(vma, parts);
            }
            if (hide(from, (to - from) >> Linux.PAGE_SHIFT) != 0) {
                throw new IllegalStateException(
                        "munmap: the host cannot split a mapping; its vm.max_map_count may be too small");
            }
            free.give(from >> Linux.PAGE_SHIFT, (to - from) >> Linux.PAGE_SHIFT);
            if (vma.owner() instanceof AnonymousMemory anonymous && !parts.isEmpty()) {
                anonymous.drop(vma.index(from), vma.index(to), false);
            }
            invalidate(from, to, false);
            released.add(vma.owner());
        }
    }

    /** The VMAs that have a byte in [start, end), ascending. The lock is held. */
    private List<Vma> overlapping(long start, long end) {
        Map.Entry<Long, Vma> before = vmas.floorEntry(start);
        long from = before != null && before.getValue().end() > start ? before.getKey() : start;
        return start >= end ? List.of() : List.copyOf(vmas.subMap(from, Math.max(from, end)).values());
    }

    /**
     * madvise(2) on page aligned addresses.
     *
     * @param remover what carries MADV_REMOVE out; called without a lock
     * @return 0, or a negated errno; {@code -ENOMEM} when a part is not mapped, after the rest was done
     */
    public int advise(long address, long length, int advice, Remover remover) {
        if (advice == Linux.MADV_POPULATE_READ || advice == Linux.MADV_POPULATE_WRITE) {
            return populate(address, length, advice == Linux.MADV_POPULATE_WRITE);
        }
        int answer = 0;
        int failure = 0;
        long covered = address;
        List<Vma> removed = new ArrayList<>();
        lock();
        try {
            for (Vma vma : overlapping(address, address + length)) {
                if (vma.start() > covered) {
                    answer = -Errno.ENOMEM;
                }
                Vma part = vma.part(Math.max(address, vma.start()), Math.min(address + length, vma.end()));
                covered = part.end();
                failure = advise(part, advice, removed);
                if (failure != 0) {
                    break;
                }
            }
        } finally {
            removed.forEach(part -> part.owner().get());
            unlock();
        }
        int removal = 0;
        for (Vma part : removed) {
            if (removal == 0) {
                removal = remover.remove(
                        part.owner(), part.offset() << Linux.PAGE_SHIFT, part.pages() << Linux.PAGE_SHIFT);
            }
            part.owner().put();
        }
        if (removal != 0 || failure != 0) {
            return removal != 0 ? removal : failure;
        }
        return covered < address + length ? -Errno.ENOMEM : answer;
    }

    /** Faults pages in, one after the other, until one cannot be had. */
    private int populate(long address, long length, boolean write) {
        lock.readLock().lock();
        try {
            for (long at = address; at < address + length; at += PAGE) {
                Map.Entry<Long, Vma> entry = vmas.floorEntry(at);
                if (entry == null || at >= entry.getValue().end()) {
                    return -Errno.ENOMEM;
                }
                Vma vma = entry.getValue();
                int right = write ? Linux.PROT_WRITE : Linux.PROT_READ;
                if (vma.store() == null || vma.store().pfnMap() || (vma.protection() & right) == 0) {
                    return -Errno.EINVAL;
                }
                long frame = frame(at, write, false);
                if (frame < 0) {
                    return (int) frame;
                }
            }
            return 0;
        } finally {
            lock.readLock().unlock();
        }
    }

    private int advise(Vma part, int advice, List<Vma> removed) {
        switch (advice) {
            case Linux.MADV_DONTNEED -> {
                PageStore store = part.store();
                HugePages pool = store == null ? null : store.pool();
                if (store == null || store.pfnMap() || (pool != null && !pool.aligned(part.start()))) {
                    return -Errno.EINVAL;
                }
                if (pool != null && !pool.aligned(part.end())) {
                    // The last huge page stays, as only a part of it is meant.
                    long end = part.end() & -pool.bytes();
                    return end > part.start() ? advise(part.part(part.start(), end), advice, removed) : 0;
                }
                if (part.owner() instanceof AnonymousMemory anonymous) {
                    anonymous.drop(part.index(part.start()), part.index(part.end()), true);
                } else {
                    invalidate(part.start(), part.end(), true);
                    invalidate(part.start(), part.end(), false);
                }
            }
            case Linux.MADV_REMOVE -> {
                boolean anonymous = part.owner() instanceof AnonymousMemory memory && !memory.ofFile();
                if (part.store() == null || anonymous) {
                    return -Errno.EINVAL;
                }
                if (!part.shared()) {
                    return -Errno.EACCES;
                }
                removed.add(part);
            }
            case Linux.MADV_COLLAPSE -> {
                return -Errno.EINVAL;
            }
            default -> {
                // Hints: there is nothing to do for them.
            }
        }
        return 0;
    }

    // The kernel's access.

    @Override
    public long faultIn(long address, boolean write) {
        lock.readLock().lock();
        try {
            return frame(address, write, false);
        } finally {
            lock.readLock().unlock();
        }
    }

    @Override
    public boolean writableNow(long address) {
        lock.readLock().lock();
        try {
            Map.Entry<Long, Vma> entry = vmas.floorEntry(address);
            if (entry == null || address >= entry.getValue().end()) {
                return false;
            }
            Vma vma = entry.getValue();
            PageStore store = vma.store();
            return store != null
                    && store.shown().accessible(vma.index(address))
                    && vma.allows(true)
                    && (vma.shared() || store.frameIfPresent(vma.index(address)) >= 0);
        } finally {
            lock.readLock().unlock();
        }
    }

    private long frame(long address, boolean write, boolean pin) {
        Vma vma = usable(address, write, pin);
        return vma == null ? -Errno.EFAULT : frame(vma, address);
    }

    /** The VMA behind an address, where a user may touch its pages, or they can be pinned; null where not. */
    private @Nullable Vma usable(long address, boolean write, boolean pin) {
        Map.Entry<Long, Vma> entry = vmas.floorEntry(address);
        if (entry == null) {
            return null;
        }
        Vma vma = entry.getValue();
        PageStore store = vma.store();
        boolean usable = address < vma.end() && store != null && vma.allows(write) && !(pin && store.pfnMap());
        return usable ? vma : null;
    }

    private static long frame(Vma vma, long address) {
        PageStore store = vma.store();
        long index = vma.index(address);
        return store == null || !store.shown().accessible(index) ? -Errno.EFAULT : store.frame(index);
    }

    @Override
    public @Nullable DevicePage deviceAt(long address) {
        lock.readLock().lock();
        try {
            Map.Entry<Long, Vma> entry = vmas.floorEntry(address);
            if (entry == null || address >= entry.getValue().end()) {
                return null;
            }
            Vma vma = entry.getValue();
            MmioRegion region = vma.region();
            return region == null ? null : new DevicePage(region, vma.offset() + (address - vma.start()));
        } finally {
            lock.readLock().unlock();
        }
    }

    @Override
    public int pin(long address, int count, boolean write, long[] frames, int at) {
        if (count == 1) {
            long frame = pinFast(address, write);
            if (frame >= 0) {
                frames[at] = frame;
                return 1;
            }
            if (frame == -Errno.ENOMEM) {
                return -Errno.ENOMEM;
            }
        }
        lock.readLock().lock();
        try {
            if (snapshot == null) {
                snapshot = vmas.values().toArray(Vma[]::new);
            }
            Vma vma = null;
            for (int page = 0; page < count; ) {
                long next = address + ((long) page << Linux.PAGE_SHIFT);
                if (vma == null || next >= vma.end()) {
                    vma = usable(next, write, true);
                }
                PageStore store = vma == null ? null : vma.store();
                if (vma == null || store == null) {
                    return page > 0 ? page : -Errno.EFAULT;
                }
                int wanted = (int) Math.min(count - page, (vma.end() - next) >> Linux.PAGE_SHIFT);
                int pinned = store.pinShown(vma.index(next), wanted, frames, at + page);
                if (pinned < wanted) {
                    return page > 0 ? page + Math.max(0, pinned) : pinned;
                }
                page += wanted;
            }
            return count;
        } finally {
            lock.readLock().unlock();
        }
    }

    /** Pins a page where nothing changes meanwhile: its frame; {@code -ENOMEM}; {@code -EFAULT} is for the lock to find out. */
    private long pinFast(long address, boolean write) {
        Vma[] all = snapshot;
        Vma vma = all == null ? null : floor(all, address);
        PageStore store = vma == null ? null : vma.store();
        if (vma == null || store == null || address >= vma.end() || !vma.allows(write) || store.pfnMap()) {
            return -Errno.EFAULT;
        }
        long frame = store.pinShown(vma.index(address));
        if (frame >= 0 && snapshot != all) {
            memory.unpin(frame);
            return -Errno.EFAULT;
        }
        return frame;
    }

    private static @Nullable Vma floor(Vma[] sorted, long address) {
        int low = 0;
        int high = sorted.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (sorted[middle].start() > address) {
                high = middle - 1;
            } else {
                low = middle + 1;
            }
        }
        return high < 0 ? null : sorted[high];
    }

    @Override
    public void unpin(long pfn, long count) {
        memory.unpin(pfn, count);
    }

    @Override
    public int copyIn(long address, MemorySegment into) {
        return copy(address, into, false);
    }

    @Override
    public int copyOut(long address, MemorySegment from) {
        return copy(address, from, true);
    }

    private int copy(long address, MemorySegment kernel, boolean write) {
        long length = kernel.byteSize();
        MemorySegment view = memory.view();
        lock.readLock().lock();
        try {
            for (long done = 0; done < length; ) {
                long at = address + done;
                long frame = frame(at, write, false);
                if (frame < 0) {
                    return -Errno.EFAULT;
                }
                long offset = at & PAGE - 1;
                long piece = Math.min(length - done, PAGE - offset);
                long physical = (frame << Linux.PAGE_SHIFT) + offset;
                if (write) {
                    MemorySegment.copy(kernel, done, view, physical, piece);
                } else {
                    MemorySegment.copy(view, physical, kernel, done, piece);
                }
                done += piece;
            }
            return 0;
        } finally {
            lock.readLock().unlock();
        }
    }

    // Notifiers.

    @Override
    public void register(MmuNotifier notifier) {
        lock();
        try {
            notifiers.add(notifier);
        } finally {
            unlock();
        }
    }

    @Override
    public void unregister(MmuNotifier notifier) {
        lock();
        try {
            notifiers.remove(notifier);
        } finally {
            unlock();
        }
    }

    /** Tells the notifiers; the lock is held. */
    void invalidate(long start, long end, boolean begin) {
        for (MmuNotifier notifier : notifiers) {
            if (begin) {
                notifier.invalidateStart(start, end);
            } else {
                notifier.invalidateEnd(start, end);
            }
        }
    }

    // Life.

    @Override
    public boolean gone() {
        return gone;
    }

    /** How many mappings there are. */
    public int mappings() {
        lock.readLock().lock();
        try {
            return vmas.size();
        } finally {
            lock.readLock().unlock();
        }
    }

    /** The process ends: everything is unmapped, and nothing can be mapped any more. */
    public void exit() {
        lock();
        try {
            if (gone) {
                return;
            }
            gone = true;
        } finally {
            unlock();
        }
        unmap(base, size);
        memory.releaseUser(base, size);
    }

    /** Where its addresses start: the order in which several are locked. */
    long base() {
        return base;
    }

    void lock() {
        lock.writeLock().lock();
    }

    void unlock() {
        lock.writeLock().unlock();
    }

    /** Makes pages raise SIGBUS. */
    int hide(long address, long pages) {
        return memory.mapHole(address, address - base, pages);
    }
}
