// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.kernel.locking.StripedMutex;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The pages of a file or of an anonymous mapping ({@code address_space}): index to frame, filled on first use.
 *
 * <p>Pages have home frames in large extents, so that an untouched store costs nothing and a mapping of it is one
 * host mapping. A page that is punched while a DMA pin holds its frame leaves that frame to the pin and gets another
 * one on its next use, as on Linux.
 *
 * <p>A store can be the pages of a file of the host's ({@link #showIn}): who has mapped that file, in whatever process,
 * shares the frames.
 *
 * <p>Lock: one per store, in stripes, below the address spaces that map it. A stripe is enough for pages of its region
 * that are at home, also to punch them where nobody else holds them; all the rest takes all stripes. {@link #frame} takes
 * none for a page at home: its answer holds only as long as the caller keeps the page from being punched (a lock of the
 * file, or the notifier of an address space). A home frame departs, and a frame goes to another owner, only under the
 * locks of all address spaces that map the store: who copies to or from a frame holds the lock of one.
 */
public final class PageStore {
    /** Pages of an extent at most: 1 GiB. */
    private static final long EXTENT = 1L << 18;

    /** A region of 2 MiB has one stripe of the lock. */
    private static final int REGION_SHIFT = 9;

    /** Home of pages that never had one. */
    private static final long NO_HOME = 1L << 62;

    private final PhysicalMemory memory;
    private final boolean userAccessible;
    private final boolean pfnMap;
    /** The pool that the pages come from, if they come and go in units of huge pages. */
    private final @Nullable HugePages pool;
    private final StripedMutex lock = new StripedMutex();
    private volatile long pages;
    /** Sorted, never changed in place; replaced under all of the lock. */
    private volatile PageExtent[] extents = {};
    /** The frames of pages whose home frame departed. Changed under all of the lock. */
    private final Map<Long, Long> overrides = new ConcurrentHashMap<>();
    /** Who maps pages. */
    private final Mappings mappings = new Mappings(lock);
    /** The private mappings that began as copies of pages of ours. Replaced under all of the lock. */
    private volatile AnonymousMemory[] copies = {};
    /** Pages that are none, within the length: [start, end). Set before the first use. */
    private long barredStart;

    private long barredEnd;

    /** Pages that user mappings do not show now. Changed under the locks of all who map them, and ours. */
    private final ConcealedPages concealed = new ConcealedPages();

    /** Whether pages may have been touched without the kernel's knowledge: user mappings showed them, or another process. */
    private volatile boolean touchable;

    /** The file of the host's that the pages are in, or -1. Changed under all of the lock. */
    private volatile int hostFile = -1;

    /**
     * @param pages length in pages
     * @param userAccessible whether a user mapping may touch the pages (a guest_memfd without INIT_SHARED: SIGBUS)
     */
    public PageStore(PhysicalMemory memory, long pages, boolean userAccessible) {
        this(memory, pages, userAccessible, false, null);
    }

    private PageStore(
            PhysicalMemory memory, long pages, boolean userAccessible, boolean pfnMap, @Nullable HugePages pool) {
        this.memory = memory;
        this.pages = pages;
        this.userAccessible = userAccessible;
        this.pfnMap = pfnMap;
        this.pool = pool;
        if (pool != null) {
            pool.add(this);
        }
    }

    /** An empty store of huge pages. What they take from the pool is its owner's to count. */
    public static PageStore huge(PhysicalMemory memory, HugePages pool) {
        return huge(memory, pool, 0);
    }

    static PageStore huge(PhysicalMemory memory, HugePages pool, long pages) {
        return new PageStore(memory, pages, true, false, pool);
    }

    /**
     * Frames that belong to others, as a driver shows them to user space (VM_PFNMAP): they can be touched, and not be
     * pinned. The store takes a reference to each, until it is closed.
     */
    public static PageStore ofFrames(PhysicalMemory memory, long[] frames) {
        PageStore store = new PageStore(memory, frames.length, true, true, null);
        PageExtent extent = new PageExtent(0, frames.length, NO_HOME);
        for (int i = 0; i < frames.length; i++) {
            memory.get(frames[i]);
            extent.depart(i);
            store.overrides.put((long) i, frames[i]);
        }
        store.extents = new PageExtent[] {extent};
        return store;
    }

    /** Makes pages [from, to) none, as if they were past the end. Before anybody uses the store. */
    public void bar(long from, long to) {
        barredStart = from;
        barredEnd = to;
    }

    private boolean barred(long index) {
        return index >= barredStart && index < barredEnd;
    }

    /**
     * Makes a frame that is another owner's a page of this store as well, which takes a reference. Before anybody uses
     * the page. A file of the host's ({@link #showIn}) does not show it.
     *
     * @return 0 or {@code -ENOMEM}
     */
    public int place(long index, long frame) {
        lock.lock();
        try {
            PageExtent extent = grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
            memory.get(frame);
            memory.put(extent.frame(index));
            extent.depart(index);
            overrides.put(index, frame);
            return 0;
        } finally {
            lock.unlock();
        }
    }

    /** What became of {@link #conceal}. */
    public sealed interface Concealed {
        /** No user mapping shows the pages any more. */
        record Done() implements Concealed {}

        /** Somebody besides the store holds the frame of a page, the first such: nothing has changed. */
        record Held(long page) implements Concealed {}

        /** The host has no room for more mappings: nothing has changed. */
        record NoMemory() implements Concealed {}
    }

    /**
     * Takes pages out of all user mappings, where nobody besides the store holds a frame of them; their contents stay.
     * A user access raises SIGBUS from now on.
     */
    public Concealed conceal(long first, long end) {
        AddressSpace[] locked = mappings.lockAll();
        try {
            long held = firstHeld(first, end);
            if (held < end) {
                return new Concealed.Held(held);
            }
            mappings.invalidate(first, end, true);
            boolean shown = reshow(first, end, true);
            mappings.invalidate(first, end, false);
            return shown ? new Concealed.Done() : new Concealed.NoMemory();
        } finally {
            mappings.unlockAll(locked);
        }
    }

    /** Lets user mappings show pages again; false, with nothing changed, where the host has no room for more mappings. */
    public boolean reveal(long first, long end) {
        AddressSpace[] locked = mappings.lockAll();
        try {
            return reshow(first, end, false);
        } finally {
            mappings.unlockAll(locked);
        }
    }

    private boolean reshow(long first, long end, boolean conceal) {
        ConcealedPages before = concealed.copy(first, end);
        concealed.change(first, end, conceal);
        for (Vma vma : mappings.all()) {
            if (show(vma, first, end) != 0) {
                concealed.change(first, end, false);
                concealed.addAll(before);
                show(first, end);
                return false;
            }
        }
        return true;
    }

    private long firstHeld(long first, long end) {
        for (PageExtent extent : extents) {
            long at = Math.max(first, extent.first);
            long last = Math.min(end, extent.end());
            while (at < last) {
                long stop = extent.nextDeparted(at, last, true);
                long held = memory.firstHeld(extent.frame(at), extent.frame(stop));
                if (held < extent.frame(stop)) {
                    return extent.first + (held - extent.home);
                }
                at = extent.nextDeparted(stop, last, false);
                for (long page = stop; page < at; page++) {
                    Long frame = overrides.get(page);
                    if (frame != null && memory.firstHeld(frame, frame + 1) == frame) {
                        return page;
                    }
                }
            }
        }
        return end;
    }

    void addCopy(AnonymousMemory copy) {
        lock.lock();
        try {
            AnonymousMemory[] more = Arrays.copyOf(copies, copies.length + 1);
            more[copies.length] = copy;
            copies = more;
        } finally {
            lock.unlock();
        }
    }

    void removeCopy(AnonymousMemory copy) {
        lock.lock();
        try {
            copies = Arrays.stream(copies).filter(one -> one != copy).toArray(AnonymousMemory[]::new);
        } finally {
            lock.unlock();
        }
    }

    /** What private mappings have touched becomes present; before anybody asks what is, or frees it. */
    private void noteCopies() {
        for (AnonymousMemory copy : copies) {
            copy.touchSource(0, Long.MAX_VALUE);
        }
    }

    /** The page that a frame is of this store's, or -1. */
    public long indexOf(long pfn) {
        for (PageExtent extent : extents) {
            if (pfn >= extent.home && pfn < extent.home + extent.count) {
                long index = extent.first + (pfn - extent.home);
                return extent.departed(index) ? -1 : index;
            }
        }
        for (Map.Entry<Long, Long> override : overrides.entrySet()) {
            if (override.getValue() == pfn) {
                return override.getKey();
            }
        }
        return -1;
    }

    private StripedMutex.Stripe stripe(long index) {
        return lock.stripe(index >> REGION_SHIFT);
    }

    /** Where the pages end that have the same stripe, as they are in the same region. */
    private static long regionEnd(long index) {
        return (index | (1L << REGION_SHIFT) - 1) + 1;
    }

    /** Whether a page is in its home frame: what is enough for a stripe to guard it. */
    private boolean atHome(long index) {
        PageExtent extent = extent(index);
        return extent != null && !extent.departed(index);
    }

    /** Whether a user mapping may touch a page; the lock of an address space that maps it is held, or the page's stripe. */
    boolean userAccessible(long index) {
        return userAccessible && concealed.until(index) == index;
    }

    /** Length in pages. */
    public long pages() {
        return pages;
    }

    /** Whether a user mapping may touch the pages. */
    public boolean userAccessible() {
        return userAccessible;
    }

    /** The pool, if pages come and go in units of huge pages, and mappings end at them. */
    @Nullable HugePages pool() {
        return pool;
    }

    /** Pages of the smallest unit that comes and goes. */
    private long unit() {
        return pool == null ? 1 : pool.frames();
    }

    /** How many units, which are huge pages if it is made of such, have a page with a frame. */
    public long presentUnits() {
        long count = 0;
        long end = pages;
        long last = unit() - 1;
        for (long at = nextPresent(0, end); at < end; at = nextPresent((at | last) + 1, end)) {
            count++;
        }
        return count;
    }

    /** Whether user mappings of it cannot be pinned. */
    boolean pfnMap() {
        return pfnMap;
    }

    /** Whether somebody besides the store holds a frame: a DMA pin, or a driver (F_SEAL_WRITE waits for them). */
    public boolean held() {
        lock.lock();
        try {
            for (PageExtent extent : extents) {
                if (memory.firstHeld(extent.home, extent.home + extent.count) < extent.home + extent.count) {
                    return true;
                }
            }
            return overrides.values().stream().anyMatch(frame -> memory.firstHeld(frame, frame + 1) == frame);
        } finally {
            lock.unlock();
        }
    }

    /**
     * Makes the pages those of a file of the host's, page for page; what they hold goes over. Nobody may use a page
     * meanwhile.
     *
     * @param fd stays open as long as the store; the file is as long as the store, or is made so before a page past its
     *     end is used
     * @return 0, or the negated errno of a file that cannot be mapped shared and writable
     */
    public int showIn(int fd) {
        lock.lock();
        try {
            for (PageExtent extent : extents) {
                for (long at = extent.first; at < extent.end(); ) {
                    long first = extent.nextDeparted(at, extent.end(), false);
                    long end = extent.nextDeparted(first, extent.end(), true);
                    int error = first == end ? 0 : showHome(extent, first, end, fd);
                    if (error != 0) {
                        return error;
                    }
                    at = end;
                }
            }
            hostFile = fd;
            touchable = true;
            return 0;
        } finally {
            lock.unlock();
        }
    }

    private int showHome(PageExtent extent, long first, long end, int fd) {
        byte[][] contents = new byte[(int) (end - first)][];
        for (long page = first; page < end; page++) {
            contents[(int) (page - first)] = frameIfPresent(page) < 0
                    ? new byte[0]
                    : memory.segment(extent.frame(page), 1).toArray(ValueLayout.JAVA_BYTE);
        }
        int error = memory.show(extent.frame(first), end - first, fd, first << Linux.PAGE_SHIFT);
        for (int i = 0; error == 0 && i < contents.length; i++) {
            MemorySegment page = memory.segment(extent.frame(first) + i, 1);
            MemorySegment.copy(contents[i], 0, page, ValueLayout.JAVA_BYTE, 0, contents[i].length);
        }
        return error;
    }

    /** Gives fresh frames the file's pages; false, with the frames freed, when that cannot be. */
    private boolean show(long home, long index, long count) {
        if (hostFile >= 0 && memory.show(home, count, hostFile, index << Linux.PAGE_SHIFT) != 0) {
            memory.put(home, count);
            return false;
        }
        return true;
    }

    /** Changes the length (ftruncate); pages past the end are freed as by {@link #punch}. */
    public void resize(long newPages) {
        noteCopies();
        AddressSpace[] locked = mappings.lockAll();
        try {
            long old = pages;
            mappings.invalidate(newPages, old, true);
            pages = newPages;
            show(Math.min(old, newPages), Math.max(old, newPages));
            if (newPages < old) {
                free(newPages, old);
                dropExtents(newPages);
            }
            mappings.invalidate(newPages, old, false);
        } finally {
            mappings.unlockAll(locked);
        }
    }

    /**
     * The frame of a page, allocated and zeroed when there is none.
     *
     * @return the frame, without a reference taken; {@code -EFAULT} past the end; {@code -ENOMEM}
     */
    public long frame(long index) {
        return frame(index, true);
    }

    /** As {@link #frame}; an allocation that the kernel does not make in this place is not charged. */
    long frame(long index, boolean charged) {
        if (index < 0 || index >= pages || barred(index)) {
            return -Errno.EFAULT;
        }
        PageExtent extent = extent(index);
        if (extent == null) {
            extent = grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
        }
        if (extent.departed(index)) {
            return charged ? override(index, true) : replacement(index);
        }
        int bit = (int) (index - extent.first);
        if (!extent.present.get(bit)) {
            if (charged && !mayBecomePresent(extent, index)) {
                return -Errno.ENOMEM;
            }
            extent.present.set(bit);
        }
        return extent.frame(index);
    }

    /** Whether a page that the kernel knows of no touch of may be had; one that a user has touched is there already. */
    private boolean mayBecomePresent(PageExtent extent, long index) {
        if (memory.mayRefusePage()) {
            harvest(extent, index, index + 1);
            if (extent.present.get((int) (index - extent.first))) {
                return true;
            }
        }
        return memory.mayAllocatePage("page");
    }

    /** As {@link #frame}, but -1 when the page has no frame yet. */
    public long frameIfPresent(long index) {
        if (index < 0 || index >= pages) {
            return -1;
        }
        PageExtent extent = extentOrFile(index);
        if (extent == null) {
            return -1;
        }
        if (extent.departed(index)) {
            return override(index, false);
        }
        return nextPresent(index, index + 1) == index ? extent.frame(index) : -1;
    }

    /** Whether a frame is one of this store's, home frames of pages that nobody has touched yet among them. */
    public boolean holds(long pfn) {
        return indexOf(pfn) >= 0;
    }

    /**
     * As {@link #frame}, with the frame pinned ({@code memfd_pin_folios}): no punch comes between the two.
     *
     * @return the frame; {@code -EFAULT} past the end; {@code -ENOMEM}
     */
    public long pin(long index) {
        StripedMutex.Stripe stripe = stripe(index);
        stripe.lock();
        try {
            if (atHome(index)) {
                return pinLocked(index);
            }
        } finally {
            stripe.unlock();
        }
        lock.lock();
        try {
            return pinLocked(index);
        } finally {
            lock.unlock();
        }
    }

    private long pinLocked(long index) {
        long frame = frame(index);
        if (frame >= 0) {
            memory.pin(frame);
        }
        return frame;
    }

    /** As {@link #pin}, with {@code -EFAULT} also for a page that user mappings do not show. */
    long pinShown(long index) {
        StripedMutex.Stripe stripe = stripe(index);
        stripe.lock();
        try {
            if (!userAccessible(index)) {
                return -Errno.EFAULT;
            }
            if (atHome(index)) {
                return pinLocked(index);
            }
        } finally {
            stripe.unlock();
        }
        lock.lock();
        try {
            return userAccessible(index) ? pinLocked(index) : -Errno.EFAULT;
        } finally {
            lock.unlock();
        }
    }

    /**
     * As {@link #pinShown(long)} of consecutive pages.
     *
     * @param frames takes the frames, from {@code at} on
     * @return how many are pinned; where the first one cannot be, why
     */
    int pinShown(long index, int count, long[] frames, int at) {
        int done = 0;
        while (done < count) {
            int more = pinAtHome(index + done, count - done, frames, at + done);
            if (more == 0) {
                long frame = pinShown(index + done);
                if (frame >= 0) {
                    frames[at + done] = frame;
                }
                more = frame >= 0 ? 1 : (int) frame;
            }
            if (more < 0) {
                return done > 0 ? done : more;
            }
            done += more;
        }
        return done;
    }

    /** Pins pages of the first one's region that are at home: how many; where the first cannot be had, why. */
    private int pinAtHome(long index, int count, long[] frames, int at) {
        int most = (int) Math.min(count, regionEnd(index) - index);
        int done = 0;
        StripedMutex.Stripe stripe = stripe(index);
        stripe.lock();
        try {
            while (done < most && userAccessible(index + done) && atHome(index + done)) {
                long frame = pinLocked(index + done);
                if (frame < 0) {
                    // What could not be had is not asked for again: to fail once is the caller's to know.
                    return done > 0 ? done : (int) frame;
                }
                frames[at + done++] = frame;
            }
            return done;
        } finally {
            stripe.unlock();
        }
    }

    /** Frees pages: user mappings and the notifiers of their address spaces let go of them first, then the frames go. */
    public void punch(long firstIndex, long count) {
        long end = Math.min(firstIndex + count, pages);
        if (firstIndex < end && !punchAtHome(firstIndex, end)) {
            punchAll(firstIndex, end);
        }
    }

    /**
     * Punches pages of one region that are all at home and held by nobody else: their frames stay, so that nobody needs to
     * be kept away but who pins them meanwhile. What a user writes meanwhile goes or stays, as if written before or after.
     *
     * @return false, with nothing done, where it is not as simple as that
     */
    private boolean punchAtHome(long first, long end) {
        if (end > regionEnd(first)) {
            return false;
        }
        StripedMutex.Stripe stripe = stripe(first);
        stripe.lock();
        try {
            if (copies.length != 0 || hostFile >= 0) {
                return false;
            }
            PageExtent extent = extent(first);
            if (extent == null) {
                // No mapping shows them, or they would be in an extent.
                return nextExtent(first) >= end;
            }
            if (extent.end() < end
                    || extent.nextDeparted(first, end, true) < end
                    || memory.firstHeld(extent.frame(first), extent.frame(end)) < extent.frame(end)) {
                return false;
            }
            mappings.invalidate(first, end, true);
            freeAtHome(extent, first, end);
            mappings.invalidate(first, end, false);
            return true;
        } finally {
            stripe.unlock();
        }
    }

    private void punchAll(long firstIndex, long end) {
        noteCopies();
        for (AnonymousMemory copy : copies) {
            copy.punchSource(firstIndex, end);
        }
        AddressSpace[] locked = mappings.lockAll();
        try {
            mappings.invalidate(firstIndex, end, true);
            free(firstIndex, end);
            if (hostFile >= 0) {
                // Others may have touched pages of the file that have no frame here.
                memory.punch(hostFile, firstIndex << Linux.PAGE_SHIFT, end - firstIndex);
            }
            mappings.invalidate(firstIndex, end, false);
        } finally {
            mappings.unlockAll(locked);
        }
    }

    /**
     * Promises memory for a page (fallocate(2)) that stays a hole for whoever looks ({@link #frameIfPresent}).
     *
     * @return 0 if there was a page or a promise; 1 if there is one now, which {@link #cancel} takes back;
     *     {@code -EFAULT} past the end; {@code -ENOMEM}
     */
    public int reserve(long index) {
        return reserve(index, true);
    }

    /** As {@link #reserve}; uncharged for what has been promised before. */
    public int reserve(long index, boolean charged) {
        lock.lock();
        try {
            if (index < 0 || index >= pages) {
                return -Errno.EFAULT;
            }
            PageExtent extent = grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
            if (extent.departed(index)) {
                boolean fresh = override(index, false) < 0;
                return override(index, true) < 0 ? -Errno.ENOMEM : fresh ? 1 : 0;
            }
            if (extent.occupied(index)) {
                // What was promised before is made now: to fail later and take it back would break the first promise.
                extent.present.set((int) (index - extent.first));
                extent.reserve(index);
                return 0;
            }
            if (charged && !mayBecomePresent(extent, index)) {
                return -Errno.ENOMEM;
            }
            boolean touched = extent.present.get((int) (index - extent.first));
            extent.reserve(index);
            return touched ? 0 : 1;
        } finally {
            lock.unlock();
        }
    }

    /** Takes a promise back that {@link #reserve} made just now; a page that somebody has touched since stays. */
    public void cancel(long index) {
        lock.lock();
        try {
            PageExtent extent = extent(index);
            if (extent == null) {
                return;
            }
            if (extent.departed(index)) {
                freeOverride(index);
            } else {
                extent.cancel(index);
            }
        } finally {
            lock.unlock();
        }
    }

    /** Pages that have a frame or the promise of one. A page that only a JVM access through a user mapping has touched counts as well. */
    public long present() {
        noteCopies();
        lock.lock();
        try {
            long count = overrides.values().stream().filter(frame -> frame >= 0).count();
            for (PageExtent extent : extents) {
                harvest(extent, extent.first, extent.end());
                count += extent.occupied();
            }
            return count;
        } finally {
            lock.unlock();
        }
    }

    /** The first page in [index, end) that has a frame, or {@code end}. */
    public long nextPresent(long index, long end) {
        return next(index, end, true);
    }

    /** The first page in [index, end) that has no frame, or {@code end}. */
    public long nextAbsent(long index, long end) {
        return next(index, end, false);
    }

    /** Whether somebody has a shared, writable mapping of a page (F_SEAL_WRITE). */
    public boolean mappedWritable() {
        lock.lock();
        try {
            return mappings.anyWritable();
        } finally {
            lock.unlock();
        }
    }

    /** Frees everything; nothing may map it any more. */
    public void close() {
        lock.lock();
        try {
            if (!mappings.all().isEmpty()) {
                throw new IllegalStateException(
                        "a page store is closed under " + mappings.all().size() + " mappings");
            }
            pages = 0;
            dropExtents(0);
            if (pool != null) {
                pool.remove(this);
            }
        } finally {
            lock.unlock();
        }
    }

    private long next(long index, long end, boolean wanted) {
        noteCopies();
        if (end <= regionEnd(index) && hostFile < 0) {
            StripedMutex.Stripe stripe = stripe(index);
            stripe.lock();
            try {
                return nextLocked(index, end, wanted);
            } finally {
                stripe.unlock();
            }
        }
        lock.lock();
        try {
            return nextLocked(index, end, wanted);
        } finally {
            lock.unlock();
        }
    }

    private long nextLocked(long index, long end, boolean wanted) {
        long at = index;
        while (at < end) {
            PageExtent extent = extentOrFile(at);
            if (extent == null) {
                if (!wanted) {
                    return at;
                }
                at = Math.min(end, nextExtent(at));
                continue;
            }
            long limit = Math.min(end, extent.end());
            harvest(extent, at, limit);
            for (; at < limit; at++) {
                boolean present = extent.departed(at)
                        ? overrides.getOrDefault(at, -1L) >= 0
                        : extent.present.get((int) (at - extent.first));
                if (present == wanted) {
                    return at;
                }
            }
        }
        return end;
    }

    /** Marks what user accesses have touched without the kernel's knowledge. */
    private void harvest(PageExtent extent, long from, long to) {
        if (!touchable
                || extent.present.next((int) (from - extent.first), (int) (to - extent.first), false) == to - extent.first) {
            return;
        }
        long end = extent.home + (to - extent.first);
        long at = memory.seek(extent.frame(from), end, true);
        while (at < end) {
            long stop = memory.seek(at, end, false);
            long first = at - extent.home;
            long last = stop - extent.home;
            for (long bit = first; bit < last; bit++) {
                if (!extent.departed(extent.first + bit)) {
                    extent.present.set((int) bit);
                }
            }
            at = stop < end ? memory.seek(stop, end, true) : end;
        }
    }

    /** Who else maps a file of the host's may have touched pages of it that have no frame here yet: they get one. */
    private @Nullable PageExtent extentOrFile(long index) {
        PageExtent extent = extent(index);
        return extent == null && hostFile >= 0 ? grow(index) : extent;
    }

    private @Nullable PageExtent extent(long index) {
        PageExtent[] all = extents;
        int low = 0;
        int high = all.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            PageExtent extent = all[middle];
            if (index < extent.first) {
                high = middle - 1;
            } else if (index >= extent.end()) {
                low = middle + 1;
            } else {
                return extent;
            }
        }
        return null;
    }

    /** Where the first extent behind a page without one starts, or the store's end. */
    private long nextExtent(long index) {
        for (PageExtent extent : extents) {
            if (extent.first > index) {
                return extent.first;
            }
        }
        return Math.max(pages, index + 1);
    }

    /** Gives a page and its neighbours home frames: as many of its 1 GiB as have none and are to be had. */
    private @Nullable PageExtent grow(long index) {
        lock.lock();
        try {
            PageExtent present = extent(index);
            if (present != null || index >= pages) {
                return present;
            }
            long start = 0;
            long end = Math.min(pages, nextExtent(index));
            for (PageExtent extent : extents) {
                if (extent.end() <= index) {
                    start = extent.end();
                }
            }
            PageExtent fresh = grow(index, start, end);
            if (fresh == null) {
                return null;
            }
            PageExtent[] grown = Arrays.copyOf(extents, extents.length + 1);
            grown[grown.length - 1] = fresh;
            Arrays.sort(grown, Comparator.comparingLong(extent -> extent.first));
            extents = grown;
            return fresh;
        } finally {
            lock.unlock();
        }
    }

    /** Frames for the largest aligned piece of the gap [start, end) around a page that there is room for. */
    private @Nullable PageExtent grow(long index, long start, long end) {
        for (long size = EXTENT; size >= unit(); size >>= 1) {
            long first = Math.max(start, index & -size);
            long count = Math.min(end, (index & -size) + size) - first;
            long home = memory.take(count, unit());
            if (home >= 0) {
                return show(home, first, count) ? new PageExtent(first, count, home) : null;
            }
        }
        return null;
    }

    private long override(long index, boolean allocate) {
        long found = overrides.getOrDefault(index, -1L);
        if (found >= 0 || !allocate) {
            return found;
        }
        lock.lock();
        try {
            long frame = overrides.getOrDefault(index, -1L);
            if (frame >= 0) {
                return frame;
            }
            return memory.mayAllocatePage("page") ? replacement(index) : -Errno.ENOMEM;
        } finally {
            lock.unlock();
        }
    }

    /** The frame of a page whose home frame departed; {@code -ENOMEM}. */
    private long replacement(long index) {
        lock.lock();
        try {
            long frame = overrides.getOrDefault(index, -1L);
            if (frame < 0) {
                frame = memory.take(1);
                if (frame < 0 || !show(frame, index, 1)) {
                    return -Errno.ENOMEM;
                }
                overrides.put(index, frame);
            }
            return frame;
        } finally {
            lock.unlock();
        }
    }

    /** Frees the frames of [from, to): those that somebody else holds depart, the others become zero at home. */
    private void free(long from, long to) {
        for (PageExtent extent : extents) {
            long at = Math.max(from, extent.first);
            long end = Math.min(to, extent.end());
            while (at < end) {
                long atHome = extent.nextDeparted(at, end, false);
                for (; at < atHome; at++) {
                    freeOverride(at);
                }
                long stop = extent.nextDeparted(at, end, true);
                while (at < stop) {
                    long held = memory.firstHeld(extent.frame(at), extent.frame(stop)) - extent.home + extent.first;
                    if (held > at) {
                        freeAtHome(extent, at, held);
                    }
                    if (held < stop) {
                        extent.depart(held);
                        extent.clearPresent(held, held + 1);
                        if (hostFile >= 0) {
                            memory.depart(extent.frame(held));
                        }
                        // The users' mappings first: who has a frame next is not to find what they write meanwhile.
                        show(held, held + 1);
                        memory.put(extent.frame(held));
                    }
                    at = Math.min(stop, held + 1);
                }
            }
        }
    }

    /** Makes pages zero at home, which nobody else holds. */
    private void freeAtHome(PageExtent extent, long from, long to) {
        if (touchable || extent.anyPresent(from, to)) {
            memory.discard(extent.frame(from), to - from);
        }
        extent.clearPresent(from, to);
    }

    private void freeOverride(long index) {
        Long frame = overrides.remove(index);
        if (frame != null) {
            show(index, index + 1);
            memory.put(frame);
        }
    }

    /** Gives the frames of all extents back that start at or behind a page. */
    private void dropExtents(long from) {
        List<PageExtent> kept = new ArrayList<>();
        for (PageExtent extent : extents) {
            if (extent.first < from) {
                kept.add(extent);
                continue;
            }
            long at = extent.first;
            while (at < extent.end()) {
                long atHome = extent.nextDeparted(at, extent.end(), false);
                for (; at < atHome; at++) {
                    Long frame = overrides.remove(at);
                    if (frame != null) {
                        memory.put(frame);
                    }
                }
                long stop = extent.nextDeparted(at, extent.end(), true);
                memory.put(extent.frame(at), stop - at);
                at = stop;
            }
        }
        extents = kept.toArray(PageExtent[]::new);
    }

    // What user mappings show.

    /** Adds a mapping and makes its pages visible; the address space's lock is held. */
    int map(Vma vma) {
        lock.lock();
        try {
            touchable = true;
            int error = show(vma, vma.offset(), vma.offset() + vma.pages());
            if (error == 0) {
                mappings.add(vma);
            }
            return error;
        } finally {
            lock.unlock();
        }
    }

    /** Puts the remaining parts of a mapping in its place; the address space's lock is held. */
    void replace(Vma vma, List<Vma> parts) {
        lock.lock();
        try {
            mappings.replace(vma, parts);
        } finally {
            lock.unlock();
        }
    }

    private void show(long from, long to) {
        for (Vma vma : mappings.all()) {
            int error = show(vma, from, to);
            if (error != 0) {
                throw new IllegalStateException("pages " + from + " to " + to + " of a mapping cannot be shown: "
                        + Errno.name(error) + "; the host's vm.max_map_count may be too small");
            }
        }
    }

    /** Makes the host mapping of [from, to) agree with the store. */
    private int show(Vma vma, long from, long to) {
        long at = Math.max(from, vma.offset());
        long end = Math.min(to, vma.offset() + vma.pages());
        while (at < end) {
            long frame = visibleFrame(vma, at);
            if (frame == -Errno.ENOMEM) {
                return -Errno.ENOMEM;
            }
            long stop = at + 1;
            if (frame < 0) {
                stop = barred(at)
                        ? Math.min(end, barredEnd)
                        : concealed.until(at) > at ? Math.min(end, concealed.until(at)) : end;
            } else {
                PageExtent extent = extent(at);
                if (extent != null && !extent.departed(at)) {
                    long whole = concealed.next(at, at < barredStart ? Math.min(end, barredStart) : end);
                    stop = extent.nextDeparted(at, Math.min(Math.min(whole, pages), extent.end()), true);
                }
            }
            int error = frame < 0
                    ? vma.mm().hide(vma.address(at), stop - at)
                    : memory.mapUser(vma.address(at), frame, stop - at, vma.protection() & AddressSpace.READ_WRITE);
            if (error != 0) {
                return error;
            }
            at = stop;
        }
        return 0;
    }

    /** The frame that a user access reaches, -EFAULT for SIGBUS, or -ENOMEM; the page does not become present. */
    private long visibleFrame(Vma vma, long index) {
        if (!userAccessible(index) || index >= pages || barred(index) || (vma.protection() & AddressSpace.READ_WRITE) == 0) {
            return -Errno.EFAULT;
        }
        PageExtent extent = extent(index);
        if (extent == null) {
            extent = grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
        }
        return extent.departed(index) ? replacement(index) : extent.frame(index);
    }
}
