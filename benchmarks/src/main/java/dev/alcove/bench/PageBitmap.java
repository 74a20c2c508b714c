// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.discard.RamDiscardListener;

/**
 * One bit for each page, as QEMU has it: the peer of the runs. Replays in both ways that QEMU had: it asks for each page
 * (2026, several sources), or jumps to the next bit that differs (10.1, one source).
 */
final class PageBitmap {
    static final long PAGE = 4096;

    private final long pages;
    private final long[] words;

    PageBitmap(long bytes) {
        this.pages = bytes / PAGE;
        this.words = new long[Math.toIntExact((pages + 63) / 64)];
    }

    boolean get(long page) {
        return (words[(int) (page >>> 6)] >>> page & 1) != 0;
    }

    void set(long page, boolean populated) {
        if (populated) {
            words[(int) (page >>> 6)] |= 1L << page;
        } else {
            words[(int) (page >>> 6)] &= ~(1L << page);
        }
    }

    void set(long from, long to) {
        for (long page = from; page < to; page++) {
            set(page, true);
        }
    }

    /** Populates each run that a walk over all pages finds. */
    void replayByPages(RamDiscardListener listener) {
        long page = 0;
        while (page < pages) {
            boolean populated = get(page);
            long end = page + 1;
            while (end < pages && get(end) == populated) {
                end++;
            }
            if (populated) {
                listener.populate(page * PAGE, (end - page) * PAGE);
            }
            page = end;
        }
    }

    /** Populates each run, looking at a word at a time. */
    void replayByBits(RamDiscardListener listener) {
        long page = next(0, 0);
        while (page < pages) {
            long end = next(page, -1);
            listener.populate(page * PAGE, (end - page) * PAGE);
            page = next(end, 0);
        }
    }

    /** The next page whose bit differs from those of {@code flip}. */
    private long next(long from, long flip) {
        int word = (int) (from >>> 6);
        if (word >= words.length) {
            return pages;
        }
        long bits = (words[word] ^ flip) & -1L << from;
        while (bits == 0) {
            if (++word == words.length) {
                return pages;
            }
            bits = words[word] ^ flip;
        }
        return Math.min(pages, ((long) word << 6) + Long.numberOfTrailingZeros(bits));
    }
}
