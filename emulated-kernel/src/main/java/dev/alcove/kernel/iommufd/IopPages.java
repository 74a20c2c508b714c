// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.PfnRuns;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.locking.Mutex;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A linear array of pages from one source, shared by all areas that map some of it ({@code struct iopt_pages}).
 *
 * <p>A page is pinned exactly once while at least one area with a domain covers it, however many do. The frames are
 * remembered nowhere but in the page table entries of such an area's storage domain, as in the kernel: the next domain
 * reads them back from there, and the last area to let go takes them out of there and unpins them, after the unmap.
 *
 * <p>Lock: {@code mutex}, below the locks of every page table, above address spaces and domains.
 */
final class IopPages {
    private static final int BATCH = 512;

    /** IOVAs are unmapped in steps of this many bytes; no page table entry is larger. */
    private static final long UNMAP_STEP = 1L << 30;

    final Mutex mutex = new Mutex();
    private final Iommufd module;
    private final PageSource source;
    private final boolean writable;
    private final IntervalTree<IopArea> holders = new IntervalTree<>();

    /** What the kernel itself has pinned; null until it does. */
    private @Nullable AccessPins accesses;

    /** Of a dma-buf only. */
    private final @Nullable DmaBufTracker tracker;

    private MemlockAccount account;
    private long pinned;
    /** Under the mutex. */
    private int references = 1;

    IopPages(Iommufd module, PageSource source, boolean writable, MemlockAccount account) {
        this.module = module;
        this.source = source;
        this.writable = writable;
        this.account = account;
        this.tracker = source instanceof DmaBufSource ? new DmaBufTracker() : null;
    }

    /** Whether the first mapping asked for writing; fixed for life. */
    boolean writable() {
        return writable;
    }

    PageSource source() {
        return source;
    }

    /** Whether this is a dma-buf. */
    boolean isDmaBuf() {
        return tracker != null;
    }

    /** The exporter of a dma-buf takes it back. */
    void revoke() {
        mutex.lock();
        try {
            if (tracker != null) {
                tracker.revoke();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** Pages pinned now. */
    long pinned() {
        mutex.lock();
        try {
            return pinned;
        } finally {
            mutex.unlock();
        }
    }

    MemlockAccount account() {
        return account;
    }

    void get() {
        mutex.lock();
        try {
            references++;
        } finally {
            mutex.unlock();
        }
    }

    void put() {
        boolean last;
        mutex.lock();
        try {
            last = --references == 0;
        } finally {
            mutex.unlock();
        }
        if (last) {
            close();
        }
    }

    /** For whom {@link #unfillAndPut} told that it was the last; without locks, as the source may be anything. */
    void close() {
        source.close();
    }

    /**
     * Moves the charge to another process (IOMMU_IOAS_CHANGE_PROCESS).
     *
     * @return 0 or {@code -ENOMEM}, with nothing changed
     */
    int changeAccount(MemlockAccount next) {
        mutex.lock();
        try {
            int error = next.charge(pinned);
            if (error == 0) {
                account.uncharge(pinned);
                account = next;
            }
            return error;
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Maps an area into domains that do not have it yet: pins what is not pinned, reads back what is. All or nothing.
     *
     * @param large whether entries above 4 KiB may be used
     * @return 0; {@code -EFAULT}, {@code -EINVAL} from the source; {@code -ENOMEM}
     */
    int fill(IopArea area, List<IommuDomain> domains, boolean large) {
        if (domains.isEmpty()) {
            return 0;
        }
        PagePinner pinner = new PagePinner(module.allocator(), source);
        if (!pinner.newBatch()) {
            return -Errno.ENOMEM;
        }
        mutex.lock();
        try {
            if (tracker != null) {
                tracker.add(area, domains);
            }
            PfnRuns fresh = new PfnRuns();
            int error = tracker != null && tracker.revoked() ? 0 : mapAll(area, domains, large, pinner, fresh);
            if (error == 0) {
                error = charge(fresh.pages());
            }
            if (error != 0) {
                domains.forEach(domain -> domain.unmap(area.iova, area.length(), null));
                fresh.forEach((index, pfn, pages) -> source.unpin(pfn, pages));
                if (tracker != null) {
                    tracker.remove(area, domains);
                }
                return error;
            }
            pinned += fresh.pages();
            if (area.storage == null) {
                hold(area, domains.getFirst());
            }
            return 0;
        } finally {
            mutex.unlock();
        }
    }

    /** Pins everything first: what a page table says comes after what the source says. */
    private int mapAll(IopArea area, List<IommuDomain> domains, boolean large, PagePinner pinner, PfnRuns fresh) {
        long last = area.lastIndex();
        long[] frames = new long[batch(last - area.firstIndex() + 1)];
        PfnRuns all = new PfnRuns();
        for (long index = area.firstIndex(); index <= last; ) {
            int count = read(index, last, frames, pinner, fresh);
            if (count < 0) {
                return count;
            }
            all.addAll(index, frames, count);
            index += count;
        }
        int[] error = new int[1];
        all.forEach((index, pfn, pages) ->
                error[0] = error[0] == 0 ? mapRun(area, domains, large, index, pfn, pages) : error[0]);
        return error[0];
    }

    /** Charges what was pinned just now: 0 or {@code -ENOMEM}. */
    private int charge(long pages) {
        boolean charged = pages == 0 || module.allocator().chargeIommufd("pinned pages");
        return charged ? account.charge(pages) : -Errno.ENOMEM;
    }

    /** Pages that are looked at in one step. */
    private int batch(long pages) {
        return module.batch((int) Math.min(BATCH, pages));
    }

    /**
     * Finds frames where they are known, or pins them.
     *
     * @param frames receives them from element 0 on, no more than fit
     * @param fresh receives those that were pinned
     * @return how many, at least one, or what the source answers
     */
    private int read(long index, long last, long[] frames, PagePinner pinner, PfnRuns fresh) {
        long most = Math.min(last, index + frames.length - 1);
        AccessPins pins = accesses;
        Span<?> pin = pins == null ? null : pins.first(index, most);
        if (pins != null && pin != null && pin.first <= index) {
            int count = (int) (Math.min(pin.last, most) - index + 1);
            for (int i = 0; i < count; i++) {
                frames[i] = pins.frame(index + i);
            }
            return count;
        }
        Span<IopArea> holder = holders.first(index, most);
        if (holder != null && holder.first <= index) {
            int count = (int) (Math.min(holder.last, most) - index + 1);
            readBack(holder.value, index, count, frames);
            return count;
        }
        if (pin != null) {
            most = Math.min(most, pin.first - 1);
        }
        if (holder != null) {
            most = Math.min(most, holder.first - 1);
        }
        int pages = (int) (most - index + 1);
        if (tracker != null) {
            return source.pin(index, pages, writable, frames);
        }
        int count = pinner.pin(index, pages, writable, frames);
        fresh.addAll(index, frames, count);
        return count;
    }

    private static int mapRun(
            IopArea area, List<IommuDomain> domains, boolean large, long index, long pfn, long pages) {
        long iova = area.iovaOf(index);
        long address = (pfn << Linux.PAGE_SHIFT) + area.offsetIn(index);
        long length = area.endOf(index + pages - 1) - iova;
        for (IommuDomain domain : domains) {
            int error = domain.map(iova, address, length, area.rights, large);
            if (error != 0) {
                return error;
            }
        }
        return 0;
    }

    private static void readBack(IopArea holder, long index, int count, long[] frames) {
        IommuDomain storage = storageOf(holder);
        for (int i = 0; i < count; i++) {
            long address = storage.address(holder.iovaOf(index + i));
            if (address < 0) {
                throw new AssertionError("the storage domain lost IOVA " + Long.toHexString(holder.iovaOf(index + i)));
            }
            frames[i] = address >>> Linux.PAGE_SHIFT;
        }
    }

    /**
     * Unmaps an area from all domains that have it, then unpins what no other area holds. Cannot fail: an area is always
     * taken out as a whole, so no large entry needs a cut.
     */
    void unfill(IopArea area, List<IommuDomain> domains) {
        mutex.lock();
        try {
            empty(area, domains);
        } finally {
            mutex.unlock();
        }
    }

    /**
     * As {@link #unfill}, and drops the area's reference. The caller holds {@link #mutex}.
     *
     * @return whether it was the last reference: the caller calls {@link #close} then
     */
    boolean unfillAndPut(IopArea area, List<IommuDomain> domains) {
        empty(area, domains);
        return --references == 0;
    }

    private void empty(IopArea area, List<IommuDomain> domains) {
        if (area.storage == null) {
            return;
        }
        IommuDomain storage = storageOf(area);
        release(area);
        if (tracker != null) {
            tracker.unmap(area);
            return;
        }
        // A page that two steps would share must not be unpinned between them.
        long step = area.pageOffset() == 0 ? UNMAP_STEP - 1 : -1;
        PfnRuns removed = new PfnRuns();
        for (long at = area.iova; ; ) {
            long stepLast = Long.compareUnsigned(at | step, area.last) < 0 ? (at | step) : area.last;
            long length = stepLast - at + 1;
            for (int i = 0; i < domains.size(); i++) {
                IommuDomain domain = domains.get(i);
                if (domain != storage) {
                    domain.unmap(at, length, null);
                }
            }
            removed.clear();
            storage.unmap(at, length, (iova, address, bytes) -> {
                long first = area.startByteOf(iova) >>> Linux.PAGE_SHIFT;
                long last = area.startByteOf(iova + bytes - 1) >>> Linux.PAGE_SHIFT;
                removed.add(first, address >>> Linux.PAGE_SHIFT, last - first + 1);
            });
            removed.forEach(this::unpinUnheld);
            if (stepLast == area.last) {
                return;
            }
            at = stepLast + 1;
        }
    }

    /** Unmaps an area from one of several domains; another one becomes the storage domain if need be. */
    void unmapFrom(IopArea area, IommuDomain domain, IommuDomain other) {
        mutex.lock();
        try {
            if (area.storage == domain) {
                area.storage = other;
            }
            boolean gone = tracker != null && tracker.revoked();
            if (tracker != null) {
                tracker.remove(area, List.of(domain));
            }
            if (!gone) {
                domain.unmap(area.iova, area.length(), null);
            }
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Lets two halves take an area's place, each with a reference; no page table entry changes. The caller holds
     * {@link #mutex}.
     */
    void split(IopArea area, IopArea low, IopArea high) {
        references++;
        if (area.storage != null) {
            IommuDomain storage = storageOf(area);
            release(area);
            hold(low, storage);
            hold(high, storage);
        }
    }

    /**
     * Pins pages for the kernel itself ({@code iopt_area_add_access}). Each such pin counts for the area too.
     *
     * @param frames receives the frames from element {@code at} on
     * @param lockArea whether the area cannot be unmapped meanwhile
     * @return 0; {@code -EINVAL} registers; {@code -ENOMEM}; what the source answers
     */
    int addAccess(IopArea area, long first, long last, long[] frames, int at, boolean lockArea) {
        if (tracker != null) {
            return -Errno.EINVAL;
        }
        mutex.lock();
        try {
            AccessPins pins = accesses == null ? new AccessPins() : accesses;
            if (pins.join(first, last)) {
                for (long index = first; index <= last; index++) {
                    frames[at + (int) (index - first)] = pins.frame(index);
                }
            } else {
                int error = module.allocator().charge("iommufd pages access")
                        ? readAll(first, last, frames, at)
                        : -Errno.ENOMEM;
                if (error != 0) {
                    return error;
                }
                accesses = pins;
                for (long index = first; index <= last; index++) {
                    pins.put(index, frames[at + (int) (index - first)]);
                }
                pins.add(first, last);
            }
            area.accesses++;
            area.locks += lockArea ? 1 : 0;
            return 0;
        } finally {
            mutex.unlock();
        }
    }

    /** All or nothing, with what is pinned for it charged. */
    private int readAll(long first, long last, long[] frames, int at) {
        PfnRuns fresh = new PfnRuns();
        PagePinner pinner = PagePinner.into(module.allocator(), source);
        long[] part = new long[batch(last - first + 1)];
        int error = 0;
        for (long index = first; index <= last && error == 0; ) {
            boolean known = accesses != null && accesses.first(index, index) != null;
            int count = read(index, last, part, pinner, fresh);
            if (count < 0) {
                error = count;
            } else if (!known && !module.allocator().chargeIommufd("array of pinned pages")) {
                error = -Errno.EINVAL;
            } else {
                System.arraycopy(part, 0, frames, at + (int) (index - first), count);
                index += count;
            }
        }
        if (error == 0) {
            error = charge(fresh.pages());
        }
        if (error != 0) {
            fresh.forEach((index, pfn, pages) -> source.unpin(pfn, pages));
            return error;
        }
        pinned += fresh.pages();
        return 0;
    }

    /** Undoes {@link #addAccess}: what nobody else has is unpinned. */
    void removeAccess(IopArea area, long first, long last, boolean unlockArea) {
        mutex.lock();
        try {
            AccessPins pins = accesses;
            if (pins == null) {
                throw new AssertionError("nothing is pinned");
            }
            area.accesses--;
            area.locks -= unlockArea ? 1 : 0;
            if (!pins.leave(first, last)) {
                return;
            }
            PfnRuns removed = new PfnRuns();
            pins.holes(first, last, (from, to) -> {
                for (long index = from; index <= to; index++) {
                    removed.add(index, pins.remove(index), 1);
                }
                return true;
            });
            removed.forEach(this::unpinUnheld);
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Copies to or from the pages ({@code iopt_pages_rw_access}).
     *
     * @param caller the address space of who asks, if its own way to the memory may be taken; null otherwise
     * @param start the first byte
     * @return 0; {@code -EPERM}; {@code -EINVAL} registers; what the source answers
     */
    int rw(@Nullable Mm caller, long start, MemorySegment data, boolean write) {
        if (write && !writable) {
            return -Errno.EPERM;
        }
        if (tracker != null) {
            return -Errno.EINVAL;
        }
        if (source instanceof PageSource.User user) {
            if (caller == user.mm()) {
                return write ? caller.copyOut(user.start() + start, data) : caller.copyIn(user.start() + start, data);
            }
            boolean onePage = start >>> Linux.PAGE_SHIFT == (start + data.byteSize() - 1) >>> Linux.PAGE_SHIFT;
            if (onePage && !user.mm().gone()) {
                return copyPage(start, data, write);
            }
        }
        return copyPages(start, data, write);
    }

    /** From where the memory is now, whatever is pinned. */
    private int copyPage(long start, MemorySegment data, boolean write) {
        if (!module.allocator().chargeIommufd("copy of a page")) {
            return -Errno.EINVAL;
        }
        long[] frame = new long[1];
        int count = source.pin(start >>> Linux.PAGE_SHIFT, 1, write, frame);
        if (count < 0) {
            return count;
        }
        copy((frame[0] << Linux.PAGE_SHIFT) + (start & (Linux.PAGE_SIZE - 1)), data, write);
        source.unpin(frame[0], 1);
        return 0;
    }

    /** As a device would see it. */
    private int copyPages(long start, MemorySegment data, boolean write) {
        PagePinner pinner = new PagePinner(module.allocator(), source);
        if (!pinner.newBatch()) {
            return -Errno.ENOMEM;
        }
        long last = (start + data.byteSize() - 1) >>> Linux.PAGE_SHIFT;
        mutex.lock();
        try {
            long at = start;
            long[] frames = new long[batch(last - (start >>> Linux.PAGE_SHIFT) + 1)];
            for (long index = start >>> Linux.PAGE_SHIFT; index <= last; ) {
                PfnRuns fresh = new PfnRuns();
                int count = read(index, last, frames, pinner, fresh);
                if (count < 0) {
                    return count;
                }
                for (int i = 0; i < count; i++) {
                    long end = Math.min((index + i + 1) << Linux.PAGE_SHIFT, start + data.byteSize());
                    long address = (frames[i] << Linux.PAGE_SHIFT) + (at & (Linux.PAGE_SIZE - 1));
                    copy(address, data.asSlice(at - start, end - at), write);
                    at = end;
                }
                fresh.forEach((from, pfn, pages) -> source.unpin(pfn, pages));
                index += count;
            }
            return 0;
        } finally {
            mutex.unlock();
        }
    }

    private void copy(long address, MemorySegment data, boolean write) {
        MemorySegment view = module.memory().view();
        if (write) {
            MemorySegment.copy(data, 0, view, address, data.byteSize());
        } else {
            MemorySegment.copy(view, address, data, 0, data.byteSize());
        }
    }

    /** Unpins what neither a domain nor the kernel itself has. */
    private void unpinUnheld(long index, long pfn, long pages) {
        AccessPins pins = accesses;
        holders.holes(index, index + pages - 1, (first, last) -> {
            if (pins == null) {
                unpinRange(pfn + (first - index), last - first + 1);
            } else {
                pins.holes(first, last, (from, to) -> {
                    unpinRange(pfn + (from - index), to - from + 1);
                    return true;
                });
            }
            return true;
        });
    }

    private void unpinRange(long pfn, long count) {
        source.unpin(pfn, count);
        pinned -= count;
        account.uncharge(count);
    }

    private void hold(IopArea area, IommuDomain storage) {
        area.storage = storage;
        area.holder = holders.insert(area.firstIndex(), area.lastIndex(), area);
    }

    private void release(IopArea area) {
        Span<IopArea> holder = area.holder;
        if (holder != null) {
            holders.remove(holder);
        }
        area.holder = null;
        area.storage = null;
    }

    private static IommuDomain storageOf(IopArea area) {
        IommuDomain storage = area.storage;
        if (storage == null) {
            throw new AssertionError("an area that holds pages has no storage domain");
        }
        return storage;
    }
}
