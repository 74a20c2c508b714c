// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.kernel.locking.StripedMutex;
import dev.alcove.kernel.mm.PageStore.Concealed;
import dev.alcove.sys.Errno;
import java.util.List;

/**
 * What user mappings show of the pages of a store: each is a mapping of the host's that is kept in agreement with the frames
 * that the pages have, and with which pages are concealed.
 *
 * <p>Guarded by the lock of the store, whose rules are in {@link PageStore}.
 */
final class ShownPages {
    private final PhysicalMemory memory;
    private final StripedMutex lock;
    private final Mappings mappings;
    private final PageFrames frames;
    private final boolean accessible;
    /** Pages that user mappings do not show now. Changed under the locks of all who map them, and ours. */
    private final ConcealedPages concealed = new ConcealedPages();

    /**
     * @param lock of the store
     * @param mappings of the store
     * @param frames of the store
     * @param accessible whether a user mapping may touch the pages at all
     */
    ShownPages(PhysicalMemory memory, StripedMutex lock, Mappings mappings, PageFrames frames, boolean accessible) {
        this.memory = memory;
        this.lock = lock;
        this.mappings = mappings;
        this.frames = frames;
        this.accessible = accessible;
    }

    boolean accessible() {
        return accessible;
    }

    /** Whether a user mapping may touch a page; the lock of an address space that maps it is held, or the page's stripe. */
    boolean accessible(long index) {
        return accessible && concealed.until(index) == index;
    }

    /**
     * Takes pages out of all user mappings, where nobody besides the store holds a frame of them; their contents stay.
     * A user access raises SIGBUS from now on.
     */
    Concealed conceal(long first, long end) {
        AddressSpace[] locked = mappings.lockAll();
        try {
            long held = frames.firstHeld(first, end);
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
    boolean reveal(long first, long end) {
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

    /** Adds a mapping and makes its pages visible; the address space's lock is held. */
    int map(Vma vma) {
        lock.lock();
        try {
            frames.becomeTouchable();
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

    /** Makes all mappings of [from, to) agree with the store. */
    void show(long from, long to) {
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
                stop = frames.barred(at)
                        ? Math.min(end, frames.barredUntil(at))
                        : concealed.until(at) > at ? Math.min(end, concealed.until(at)) : end;
            } else {
                PageExtent extent = frames.extent(at);
                if (extent != null && !extent.departed(at)) {
                    long whole = concealed.next(at, frames.nextBarred(at, end));
                    stop = extent.nextDeparted(at, Math.min(Math.min(whole, frames.pages()), extent.end()), true);
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
        boolean there = accessible(index) && index < frames.pages() && !frames.barred(index);
        if (!there || (vma.protection() & AddressSpace.READ_WRITE) == 0) {
            return -Errno.EFAULT;
        }
        PageExtent extent = frames.extent(index);
        if (extent == null) {
            extent = frames.grow(index);
            if (extent == null) {
                return -Errno.ENOMEM;
            }
        }
        return extent.departed(index) ? frames.replacement(index) : extent.frame(index);
    }
}
