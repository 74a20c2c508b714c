// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/**
 * The pages of a file or of an anonymous mapping ({@code address_space}): index to frame, filled on first use.
 *
 * <p>All pages have a home frame in one extent, so that an untouched store costs nothing and a mapping of it is one
 * host mapping. A page that is punched while a DMA pin holds its frame leaves that frame to the pin and gets another
 * one on its next use, as on Linux.
 *
 * <p>Lock: one per store, below the address spaces that map it.
 */
public final class PageStore {
    /**
     * @param pages length in pages
     * @param userAccessible whether a user mapping may touch the pages (a guest_memfd without INIT_SHARED: SIGBUS)
     */
    public PageStore(PhysicalMemory memory, long pages, boolean userAccessible) {}

    /** Length in pages. */
    public long pages() {
        throw new AssertionError();
    }

    /** Changes the length (ftruncate); pages past the end are freed as by {@link #punch}. */
    public void resize(long pages) {}

    /**
     * The frame of a page, allocated and zeroed when there is none.
     *
     * @return the frame, without a reference taken; {@code -EFAULT} past the end; {@code -ENOMEM}
     */
    public long frame(long index) {
        throw new AssertionError();
    }

    /** As {@link #frame}, but -1 when the page has no frame yet. */
    public long frameIfPresent(long index) {
        throw new AssertionError();
    }

    /** Frees pages: user mappings and the notifiers of their address spaces let go of them first, then the frames go. */
    public void punch(long firstIndex, long count) {}

    /** Pages that have a frame. A page that only a JVM access through a user mapping has touched counts as well. */
    public long present() {
        throw new AssertionError();
    }

    /** Frees everything; nothing may map it any more. */
    public void close() {}
}
