// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.kernel.locking.LineLock;
import dev.alcove.kernel.locking.StripedMutex;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The pages of a file or of an anonymous mapping ({@code address_space}): index to frame, filled on first use.
 *
 * <p>Pages have home frames in large extents, so that an untouched store costs nothing and a mapping of it is one
 * host mapping. A page that is punched while a DMA pin holds its frame leaves that frame to the pin and gets another
 * one on its next use, as on Linux.
 *
 * <p>Which frame a page has is kept by {@link PageFrames}, and what user mappings show of them by {@link ShownPages}; here is
 * what happens to pages.
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
    /** A region of 2 MiB has one stripe of the lock. */
    private static final int REGION_SHIFT = 9;

    private final PhysicalMemory memory;
    private final boolean pfnMap;
    /** The pool that the pages come from, if they come and go in units of huge pages. */
    private final @Nullable HugePages pool;
    private final StripedMutex lock = new StripedMutex();
    private final PageFrames frames;
    /** Who maps pages. */
    private final Mappings mappings = new Mappings(lock);
    private final ShownPages shown;
    /** The private mappings that began as copies of pages of ours. Replaced under all of the lock. */
    private volatile AnonymousMemory[] copies = {};

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
        this.pfnMap = pfnMap;
        this.pool = pool;
        frames = new PageFrames(memory, lock, pool == null ? 1 : pool.frames(), pages);
        shown = new ShownPages(memory, lock, mappings, frames, userAccessible);
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
    public static PageStore ofFrames(PhysicalMemory memory, long[] pfns) {
        PageStore store = new PageStore(memory, pfns.length, true, true, null);
        store.frames.placeAll(pfns);
        return store;
    }

    /** Makes pages [from, to) none, as if they were past the end. Before anybody uses the store. */
    public void bar(long from, long to) {
        frames.bar(from, to);
    }

    /**
     * Makes a frame that is another owner's a page of this store as well, which takes a reference. Before anybody uses
     * the page. A file of the host's ({@link #showIn}) does not show it.
     *
     * @return 0 or {@code -ENOMEM}
     */
    public int place(long index, long pfn) {
        return frames.place(index, pfn);
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
        noteCopies();
        return frames.showIn(fd);
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
        return shown.conceal(first, end);
    }

    /** Lets user mappings show pages again; false, with nothing changed, where the host has no room for more mappings. */
    public boolean reveal(long first, long end) {
        return shown.reveal(first, end);
    }

    /** What user mappings show. */
    ShownPages shown() {
        return shown;
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

    private LineLock stripe(long index) {
        return lock.stripe(index >> REGION_SHIFT);
    }

    /** Where the pages end that have the same stripe, as they are in the same region. */
    private static long regionEnd(long index) {
        return (index | (1L << REGION_SHIFT) - 1) + 1;
    }

    /** The page that a frame is of this store's, or -1. */
    public long indexOf(long pfn) {
        return frames.indexOf(pfn);
    }

    /** Length in pages. */
    public long pages() {
        return frames.pages();
    }

    /** Whether a user mapping may touch the pages. */
    public boolean userAccessible() {
        return shown.accessible();
    }

    /** The pool, if pages come and go in units of huge pages, and mappings end at them. */
    @Nullable HugePages pool() {
        return pool;
    }

    /** How many units, which are huge pages if it is made of such, have a page with a frame. */
    public long presentUnits() {
        long count = 0;
        long end = frames.pages();
        long last = frames.unit() - 1;
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
        return frames.held();
    }

    /** Changes the length (ftruncate); pages past the end are freed as by {@link #punch}. */
    public void resize(long newPages) {
        noteCopies();
        AddressSpace[] locked = mappings.lockAll();
        try {
            long old = frames.pages();
            mappings.invalidate(newPages, old, true);
            frames.resize(newPages);
            shown.show(Math.min(old, newPages), Math.max(old, newPages));
            if (newPages < old) {
                free(newPages, old);
                frames.dropExtents(newPages);
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
        return frames.frame(index, true);
    }

    /** As {@link #frame}; an allocation that the kernel does not make in this place is not charged. */
    long frame(long index, boolean charged) {
        return frames.frame(index, charged);
    }

    /** As {@link #frame}, but -1 when the page has no frame yet. */
    public long frameIfPresent(long index) {
        if (index < 0 || index >= frames.pages()) {
            return -1;
        }
        PageExtent extent = frames.extentOrFile(index);
        if (extent == null) {
            return -1;
        }
        if (extent.departed(index)) {
            return frames.override(index, false);
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
        return pin(index, false);
    }

    /** As {@link #pin(long)}, with {@code -EFAULT} also for a page that user mappings do not show. */
    long pinShown(long index) {
        return pin(index, true);
    }

    private long pin(long index, boolean onlyShown) {
        LineLock stripe = stripe(index);
        stripe.lock();
        try {
            if (onlyShown && !shown.accessible(index)) {
                return -Errno.EFAULT;
            }
            if (frames.atHome(index)) {
                return pinLocked(index);
            }
        } finally {
            stripe.unlock();
        }
        lock.lock();
        try {
            return onlyShown && !shown.accessible(index) ? -Errno.EFAULT : pinLocked(index);
        } finally {
            lock.unlock();
        }
    }

    private long pinLocked(long index) {
        long frame = frames.frame(index, true);
        if (frame >= 0) {
            memory.pin(frame);
        }
        return frame;
    }

    /**
     * As {@link #pin(long)} of consecutive pages.
     *
     * @param pfns takes the frames, from {@code at} on
     * @return how many are pinned; where the first one cannot be, why
     */
    public int pin(long index, int count, long[] pfns, int at) {
        return pin(index, count, pfns, at, false);
    }

    /** As {@link #pin(long, int, long[], int)}, of pages that user mappings show. */
    int pinShown(long index, int count, long[] pfns, int at) {
        return pin(index, count, pfns, at, true);
    }

    private int pin(long index, int count, long[] pfns, int at, boolean onlyShown) {
        int done = 0;
        while (done < count) {
            int more = pinAtHome(index + done, count - done, pfns, at + done, onlyShown);
            if (more == 0) {
                long frame = pin(index + done, onlyShown);
                if (frame >= 0) {
                    pfns[at + done] = frame;
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
    private int pinAtHome(long index, int count, long[] pfns, int at, boolean onlyShown) {
        int most = (int) Math.min(count, regionEnd(index) - index);
        int done = 0;
        LineLock stripe = stripe(index);
        stripe.lock();
        try {
            long frame = 0;
            while (done < most && (!onlyShown || shown.accessible(index + done)) && frames.atHome(index + done)) {
                frame = frames.frame(index + done, true);
                if (frame < 0) {
                    break;
                }
                pfns[at + done++] = frame;
            }
            memory.pin(pfns, at, done);
            // What could not be had is not asked for again: to fail once is the caller's to know.
            return done > 0 || frame >= 0 ? done : (int) frame;
        } finally {
            stripe.unlock();
        }
    }

    /** Frees pages: user mappings and the notifiers of their address spaces let go of them first, then the frames go. */
    public void punch(long firstIndex, long count) {
        long end = Math.min(firstIndex + count, frames.pages());
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
        LineLock stripe = stripe(first);
        stripe.lock();
        try {
            if (copies.length != 0 || frames.hostFile() >= 0) {
                return false;
            }
            PageExtent extent = frames.extent(first);
            if (extent == null) {
                // No mapping shows them, or they would be in an extent.
                return frames.nextExtent(first) >= end;
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
            int hostFile = frames.hostFile();
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
            if (index < 0 || index >= frames.pages()) {
                return -Errno.EFAULT;
            }
            PageExtent extent = frames.grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
            if (extent.departed(index)) {
                boolean fresh = frames.override(index, false) < 0;
                return frames.override(index, true) < 0 ? -Errno.ENOMEM : fresh ? 1 : 0;
            }
            if (extent.occupied(index)) {
                // What was promised before is made now: to fail later and take it back would break the first promise.
                extent.present.set((int) (index - extent.first));
                extent.reserve(index);
                return 0;
            }
            if (charged && !frames.mayBecomePresent(extent, index)) {
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
            PageExtent extent = frames.extent(index);
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

    /**
     * Pages that have a frame or the promise of one. A page that only a JVM access through a user mapping has touched counts
     * as well.
     */
    public long present() {
        noteCopies();
        lock.lock();
        try {
            return frames.occupied();
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
            frames.resize(0);
            frames.dropExtents(0);
            if (pool != null) {
                pool.remove(this);
            }
        } finally {
            lock.unlock();
        }
    }

    private long next(long index, long end, boolean wanted) {
        noteCopies();
        if (end <= regionEnd(index) && frames.hostFile() < 0) {
            LineLock stripe = stripe(index);
            stripe.lock();
            try {
                return frames.next(index, end, wanted);
            } finally {
                stripe.unlock();
            }
        }
        lock.lock();
        try {
            return frames.next(index, end, wanted);
        } finally {
            lock.unlock();
        }
    }

    /** Frees the frames of [from, to): those that somebody else holds depart, the others become zero at home. */
    private void free(long from, long to) {
        for (PageExtent extent : frames.extents()) {
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
                        if (frames.hostFile() >= 0) {
                            memory.depart(extent.frame(held));
                        }
                        // The users' mappings first: who has a frame next is not to find what they write meanwhile.
                        shown.show(held, held + 1);
                        memory.put(extent.frame(held));
                    }
                    at = Math.min(stop, held + 1);
                }
            }
        }
    }

    /** Makes pages zero at home, which nobody else holds. */
    private void freeAtHome(PageExtent extent, long from, long to) {
        if (frames.touchable() || extent.anyPresent(from, to)) {
            memory.discard(extent.frame(from), to - from);
        }
        extent.clearPresent(from, to);
    }

    private void freeOverride(long index) {
        long frame = frames.removeOverride(index);
        if (frame >= 0) {
            shown.show(index, index + 1);
            memory.put(frame);
        }
    }
}
