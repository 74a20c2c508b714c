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
 * Which frames the pages of a store have: home frames in large extents, those that pages got instead of a home frame that
 * departed, and which of them have been touched.
 *
 * <p>Guarded by the lock of the store, whose rules are in {@link PageStore}. What needs all of the lock, and may be called
 * without it, takes it.
 */
final class PageFrames {
    /** Pages of an extent at most: 1 GiB. */
    private static final long EXTENT = 1L << 18;

    /** Home of pages that never had one. */
    private static final long NO_HOME = 1L << 62;

    private final PhysicalMemory memory;
    private final StripedMutex lock;
    /** Pages of the smallest unit that comes and goes. */
    private final long unit;
    /** Length. */
    private volatile long pages;

    /** Sorted, never changed in place; replaced under all of the lock. */
    private volatile PageExtent[] extents = {};

    /** The frames of pages whose home frame departed. Changed under all of the lock. */
    private final Map<Long, Long> overrides = new ConcurrentHashMap<>();

    /** Pages that are none, within the length: [start, end). Set before the first use. */
    private long barredStart;

    private long barredEnd;

    /** Whether pages may have been touched without the kernel's knowledge: user mappings showed them, or another process. */
    private volatile boolean touchable;

    /** The file of the host's that the pages are in, or -1. Changed under all of the lock. */
    private volatile int hostFile = -1;

    /**
     * @param lock of the store
     * @param unit pages of the smallest unit that comes and goes
     * @param pages length
     */
    PageFrames(PhysicalMemory memory, StripedMutex lock, long unit, long pages) {
        this.memory = memory;
        this.lock = lock;
        this.unit = unit;
        this.pages = pages;
    }

    /** Length in pages. */
    long pages() {
        return pages;
    }

    /** Sets the length; what is behind the end stays until it is dropped. */
    void resize(long newPages) {
        pages = newPages;
    }

    long unit() {
        return unit;
    }

    /** The extents of one moment, in ascending order. */
    PageExtent[] extents() {
        return extents;
    }

    int hostFile() {
        return hostFile;
    }

    boolean touchable() {
        return touchable;
    }

    /** A user mapping is about to show pages. */
    void becomeTouchable() {
        touchable = true;
    }

    /** Where a page is none, the end of all such that come with it; else the page itself. */
    long barredUntil(long index) {
        return barred(index) ? barredEnd : index;
    }

    /** Where the first page starts at or behind one that is none; {@code end} where there is none before it. */
    long nextBarred(long index, long end) {
        return index < barredStart ? Math.min(end, barredStart) : end;
    }

    /** Makes frames that are others' the pages, with a reference to each. Before anybody uses the store. */
    void placeAll(long[] pfns) {
        PageExtent extent = new PageExtent(0, pfns.length, NO_HOME);
        for (int i = 0; i < pfns.length; i++) {
            memory.get(pfns[i]);
            extent.depart(i);
            overrides.put((long) i, pfns[i]);
        }
        extents = new PageExtent[] {extent};
    }

    /** Pages that are present or promised. The lock is held. */
    long occupied() {
        long count = overrides.values().stream().filter(frame -> frame >= 0).count();
        for (PageExtent extent : extents) {
            harvest(extent, extent.first, extent.end());
            count += extent.occupied();
        }
        return count;
    }

    /** Takes the frame of a page away whose home frame departed, if there is one; the frame, or -1. The lock is held. */
    long removeOverride(long index) {
        Long frame = overrides.remove(index);
        return frame == null ? -1 : frame;
    }

    /** Makes pages [from, to) none, as if they were past the end. Before anybody uses the store. */
    void bar(long from, long to) {
        barredStart = from;
        barredEnd = to;
    }

    boolean barred(long index) {
        return index >= barredStart && index < barredEnd;
    }

    /**
     * Makes a frame that is another owner's a page of this store as well, which takes a reference. Before anybody uses
     * the page. A file of the host's ({@link #showIn}) does not show it.
     *
     * @return 0 or {@code -ENOMEM}
     */
    int place(long index, long frame) {
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

    /** Whether a page is in its home frame: what is enough for a stripe to guard it. */
    boolean atHome(long index) {
        PageExtent extent = extent(index);
        return extent != null && !extent.departed(index);
    }

    /** The first page in [first, end) whose frame somebody besides the store holds, or {@code end}. */
    long firstHeld(long first, long end) {
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

    /** The page that a frame is of this store's, or -1. */
    long indexOf(long pfn) {
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

    /** Whether somebody besides the store holds a frame: a DMA pin, or a driver (F_SEAL_WRITE waits for them). */
    boolean held() {
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
    int showIn(int fd) {
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
            contents[(int) (page - first)] = next(page, page + 1, true) != page
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
    private boolean showFile(long home, long index, long count) {
        if (hostFile >= 0 && memory.show(home, count, hostFile, index << Linux.PAGE_SHIFT) != 0) {
            memory.put(home, count);
            return false;
        }
        return true;
    }

    /**
     * The frame of a page, allocated and zeroed when there is none.
     *
     * @param charged whether an allocation is one that the kernel makes in this place
     * @return the frame, without a reference taken; {@code -EFAULT} past the end; {@code -ENOMEM}
     */
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
    boolean mayBecomePresent(PageExtent extent, long index) {
        if (memory.mayRefusePage()) {
            harvest(extent, index, index + 1);
            if (extent.present.get((int) (index - extent.first))) {
                return true;
            }
        }
        return memory.mayAllocatePage("page");
    }

    /** The first page in [index, end) that has a frame, or has none, or {@code end}. The lock is held. */
    long next(long index, long end, boolean wanted) {
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
    @Nullable PageExtent extentOrFile(long index) {
        PageExtent extent = extent(index);
        return extent == null && hostFile >= 0 ? grow(index) : extent;
    }

    /** The extent that a page is in, or null. */
    @Nullable PageExtent extent(long index) {
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
    long nextExtent(long index) {
        for (PageExtent extent : extents) {
            if (extent.first > index) {
                return extent.first;
            }
        }
        return Math.max(pages, index + 1);
    }

    /** Gives a page and its neighbours home frames: as many of its 1 GiB as have none and are to be had. */
    @Nullable PageExtent grow(long index) {
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
        for (long size = EXTENT; size >= unit; size >>= 1) {
            long first = Math.max(start, index & -size);
            long count = Math.min(end, (index & -size) + size) - first;
            long home = memory.take(count, unit);
            if (home >= 0) {
                return showFile(home, first, count) ? new PageExtent(first, count, home) : null;
            }
        }
        return null;
    }

    /** The frame of a page whose home frame departed, -1 where it has none, or {@code -ENOMEM}. */
    long override(long index, boolean allocate) {
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
    long replacement(long index) {
        lock.lock();
        try {
            long frame = overrides.getOrDefault(index, -1L);
            if (frame < 0) {
                frame = memory.take(1);
                if (frame < 0 || !showFile(frame, index, 1)) {
                    return -Errno.ENOMEM;
                }
                overrides.put(index, frame);
            }
            return frame;
        } finally {
            lock.unlock();
        }
    }

    /** Gives the frames of all extents back that start at or behind a page. */
    void dropExtents(long from) {
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
}
