// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The pages of one private mapping: zeroes, or a copy of a file's pages.
 *
 * <p>The copy is taken when the mapping is made; whether later changes of the file show in a private mapping is left
 * open by mmap(2). One difference remains: when the file shrinks, the copy stays, where Linux raises SIGBUS. What a user
 * touches of the copy takes the file's page into memory on Linux, also where the file had a hole: the file finds that
 * out when it matters ({@link #touchSource}).
 */
final class AnonymousMemory implements Referenced {
    private static final MemorySegment ZEROES = MemorySegment.ofArray(new byte[4096]).asReadOnly();

    private final AtomicInteger references = new AtomicInteger(1);
    private final PhysicalMemory memory;
    final PageStore store;
    private final @Nullable Referenced file;
    private final @Nullable PageStore source;
    private final long sourceFirst;
    /** Where the pages come from, if they are huge. */
    private final @Nullable HugePages pool;
    /** Pages of which the source has been told. Guarded by the monitor, above the locks of the stores. */
    private final BitSet told = new BitSet();
    /** Huge pages taken from the pool. Under the lock of the address space. */
    private long hugeTaken;

    /** Zeroes. */
    AnonymousMemory(PhysicalMemory memory, long pages) {
        this.memory = memory;
        store = new PageStore(memory, pages, true);
        file = null;
        source = null;
        sourceFirst = 0;
        pool = null;
    }

    /** A copy of the pages of a file from {@code sourceFirst} on; takes over a reference on the file. */
    AnonymousMemory(PhysicalMemory memory, long pages, Referenced file, PageStore source, long sourceFirst) {
        this.memory = memory;
        this.file = file;
        this.source = source;
        this.sourceFirst = sourceFirst;
        long copied = Math.clamp(source.pages() - sourceFirst, 0, pages);
        pool = source.pool();
        store = pool != null ? PageStore.huge(memory, pool, pages) : new PageStore(memory, copied, true);
        hugeTaken = pool != null ? pages / pool.frames() : 0;
        source.addCopy(this);
    }

    /** Takes the file's pages into memory behind those of [first, end) that were touched since the last time. */
    synchronized void touchSource(long first, long end) {
        if (source == null || pool != null) {
            return;
        }
        long last = Math.min(end, store.pages());
        for (long at = store.nextPresent(first, last); at < last; at = store.nextPresent(at + 1, last)) {
            if (!told.get((int) at)) {
                told.set((int) at);
                source.frame(sourceFirst + at, false);
            }
        }
    }

    /**
     * Pages [first, end) of the file are about to go, and with them what the mapping only shows: a user's next touch takes
     * a page of the file again. Of what the copy holds, pages of zeroes are taken for such; the others may be the
     * mapping's own.
     */
    void punchSource(long first, long end) {
        if (source == null || pool != null) {
            return;
        }
        long last = Math.min(end - sourceFirst, store.pages());
        long at = Math.max(0, first - sourceFirst);
        for (at = store.nextPresent(at, last); at < last; at = store.nextPresent(at + 1, last)) {
            if (memory.segment(store.frame(at, false), 1).mismatch(ZEROES) < 0) {
                tell(at, at + 1, false);
                store.punch(at, 1);
            }
        }
    }

    private synchronized void tell(long first, long end, boolean done) {
        told.set((int) first, (int) Math.max(first, end), done);
    }

    /** Takes huge pages from the pool, if it is made of such; false when there are not enough. */
    boolean charge() {
        long wanted = hugeTaken;
        hugeTaken = 0;
        if (pool != null && pool.take(wanted) != 0) {
            return false;
        }
        hugeTaken = wanted;
        return true;
    }

    /** Whether it began as a copy of a file. */
    boolean ofFile() {
        return file != null;
    }

    /** Makes [first, end) what it was at first; false when there is no memory for it. */
    boolean fill(long first, long end) {
        if (source == null) {
            return true;
        }
        long last = Math.min(end, store.pages());
        for (long at = present(first, last); at < last; at = present(at + 1, last)) {
            long from = source.frame(sourceFirst + at);
            long to = store.frame(at, false);
            if (to < 0) {
                return false;
            }
            tell(at, at + 1, true);
            if (from >= 0) {
                MemorySegment.copy(memory.segment(from, 1), 0, memory.segment(to, 1), 0, 4096);
            }
        }
        return true;
    }

    private long present(long from, long end) {
        return source == null || from >= end
                ? end
                : source.nextPresent(sourceFirst + from, sourceFirst + end) - sourceFirst;
    }

    /** Frees [first, end), which the process gave up or wants fresh. */
    void drop(long first, long end, boolean refill) {
        touchSource(first, end);
        tell(first, Math.min(end, store.pages()), false);
        store.punch(first, end - first);
        if (pool != null && !refill) {
            long given = (end - first) / pool.frames();
            pool.give(given);
            hugeTaken -= given;
        }
        if (refill) {
            fill(first, end);
        }
    }

    @Override
    public void get() {
        references.incrementAndGet();
    }

    @Override
    public void put() {
        if (references.decrementAndGet() == 0) {
            touchSource(0, store.pages());
            if (source != null) {
                source.removeCopy(this);
            }
            store.close();
            if (pool != null) {
                pool.give(hugeTaken);
            }
            if (file != null) {
                file.put();
            }
        }
    }
}
