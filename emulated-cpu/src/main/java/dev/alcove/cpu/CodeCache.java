// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The decoded blocks of one processor, and which host pages they come from.
 *
 * <p>A store of this processor into a page with decoded code never takes the fast path of the TLB and ends up in
 * {@link #written}. Writes by others are found when {@link #contents} has advanced: then the bytes of a block are
 * compared before it runs again.
 */
final class CodeCache {
    private static final int SIZE = 1 << 15;
    private static final int MOST_BLOCKS = 1 << 16;

    private static final class Page {
        /** One bit for each 64 bytes that hold decoded code. */
        long lines;

        final List<Block> blocks = new ArrayList<>();
    }

    private final Block[] table = new Block[SIZE];
    private final Map<Long, Page> pages = new HashMap<>();
    private final long[] filter = new long[64];
    private int blocks;

    /** Linear instruction pointers of instructions that get a block of their own. */
    private final long[] solo = new long[256];

    /** Advances whenever code may have been changed by others. */
    int contents = 1;

    private static int slot(long ip) {
        return (int) (ip ^ ip >>> 13) & SIZE - 1;
    }

    CodeCache() {
        Arrays.fill(solo, Long.MIN_VALUE);
    }

    /** The block for this place, whatever its generation. */
    @Nullable Block find(long ip, int mode) {
        Block b = table[slot(ip)];
        return b != null && b.ip == ip && b.mode == mode ? b : null;
    }

    /** Adds a block; true when one of its pages had no code before: the store TLB must forget that page. */
    boolean add(Block block) {
        if (++blocks > MOST_BLOCKS) {
            flush();
            blocks = 1;
        }
        table[slot(block.ip)] = block;
        int first = block.firstBytes();
        boolean fresh = addTo(block.host, first, block);
        if (block.secondPage != 0) {
            fresh |= addTo(block.secondPage, block.bytes.length - first, block);
        }
        return fresh;
    }

    private boolean addTo(long host, int bytes, Block block) {
        long key = host & -4096;
        Page page = pages.get(key);
        boolean fresh = page == null;
        if (page == null) {
            page = new Page();
            pages.put(key, page);
            int h = hash(key);
            filter[h >> 6] |= 1L << h;
        }
        page.blocks.add(block);
        page.lines |= lines(host, bytes);
        return fresh;
    }

    private static int hash(long page) {
        return (int) (page >>> 12 ^ page >>> 24) & 4095;
    }

    private static long lines(long host, int bytes) {
        int from = (int) (host & 4095) >> 6;
        int to = (int) ((host & 4095) + bytes - 1) >> 6;
        return (-1L << from) & (-1L >>> (63 - Math.min(to, 63)));
    }

    /** Whether the page of this host address holds decoded code. */
    boolean hasCode(long host) {
        int h = hash(host & -4096);
        return (filter[h >> 6] & 1L << h) != 0 && pages.containsKey(host & -4096);
    }

    /** Whether a write to these bytes (within a page) would hit decoded code. */
    boolean hits(long host, int bytes) {
        int h = hash(host & -4096);
        if ((filter[h >> 6] & 1L << h) == 0) {
            return false;
        }
        Page page = pages.get(host & -4096);
        return page != null && (page.lines & lines(host, bytes)) != 0;
    }

    /** Throws the blocks of the page away if the bytes (within a page) hold code. */
    void written(long host, int bytes) {
        if (hits(host, bytes)) {
            Page page = pages.remove(host & -4096);
            if (page != null) {
                for (Block b : page.blocks) {
                    drop(b);
                }
            }
        }
    }

    /** Throws one block away. */
    void drop(Block b) {
        b.generation = -1;
        if (table[slot(b.ip)] == b) {
            Arrays.fill(table, slot(b.ip), slot(b.ip) + 1, null);
        }
    }

    void flush() {
        for (Block b : table) {
            if (b != null) {
                b.generation = -1;
            }
        }
        for (Page page : pages.values()) {
            for (Block b : page.blocks) {
                b.generation = -1;
            }
        }
        Arrays.fill(table, null);
        Arrays.fill(filter, 0);
        Arrays.fill(solo, Long.MIN_VALUE);
        pages.clear();
        blocks = 0;
    }

    /** From now on the instruction at this linear address is decoded into a block of its own. */
    void makeSolo(long linear) {
        solo[(int) (linear ^ linear >>> 8) & 255] = linear;
    }

    boolean isSolo(long linear) {
        return solo[(int) (linear ^ linear >>> 8) & 255] == linear;
    }
}
