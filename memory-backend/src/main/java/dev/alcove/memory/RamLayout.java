// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.sys.BadInputException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Where the RAM blocks of a guest lie in its physical address space.
 *
 * @param blocks ascending, whole pages, not overlapping; blocks may touch
 */
public record RamLayout(List<GpaRange> blocks) {
    /** Size and alignment of a page in bytes. */
    public static final long PAGE = 4096;

    /** Where the hole for devices begins (3 GiB): RAM never reaches into [3 GiB, 4 GiB). */
    public static final long HOLE_START = 0xc000_0000L;

    /** Where RAM that does not fit below the hole continues (4 GiB). */
    public static final long HOLE_END = 0x1_0000_0000L;

    /** Checks and sorts the blocks. */
    public RamLayout {
        blocks = blocks.stream().sorted(Comparator.comparing(GpaRange::start)).toList();
        if (blocks.isEmpty()) {
            throw new BadInputException("a guest needs memory: give at least 4096 bytes");
        }
        for (int index = 0; index < blocks.size(); index++) {
            GpaRange block = blocks.get(index);
            if (!block.isAligned(PAGE)) {
                throw new BadInputException("RAM block " + block + " is not made of whole 4096 byte pages");
            }
            if (index > 0 && block.overlaps(blocks.get(index - 1))) {
                throw new BadInputException("RAM blocks " + blocks.get(index - 1) + " and " + block + " overlap");
            }
        }
    }

    /**
     * The usual layout: one block from 0, and a second one from 4 GiB for what does not fit below 3 GiB.
     *
     * @param size bytes
     * @param hostBytes what the machine has, see {@link HostMemory#totalBytes}
     * @throws BadInputException where the size is zero, no whole number of pages, or above what the machine has
     */
    public static RamLayout of(long size, long hostBytes) {
        return of(List.of(size), hostBytes);
    }

    /**
     * The same for NUMA nodes, one after the other: each has blocks of its own.
     *
     * @param nodes bytes of each
     */
    public static RamLayout of(List<Long> nodes, long hostBytes) {
        long size = 0;
        for (long node : nodes) {
            if (node <= 0) {
                throw new BadInputException("memory of " + node + " bytes: a guest needs at least 4096 bytes");
            }
            if (node % PAGE != 0) {
                throw new BadInputException(
                        "memory of " + node + " bytes is not a whole number of 4096 byte pages",
                        "take " + (node / PAGE + 1) * PAGE + " bytes");
            }
            size = node > Long.MAX_VALUE - size ? Long.MAX_VALUE : size + node;
        }
        if (size > hostBytes) {
            throw new BadInputException(
                    "memory of " + size + " bytes is more than this machine has (" + hostBytes + " bytes)",
                    "give the guest less memory: at most " + (hostBytes >> 20) + "M");
        }
        List<GpaRange> blocks = new ArrayList<>();
        long at = 0;
        for (long node : nodes) {
            long below = Math.clamp(HOLE_START - at, 0, node);
            if (below > 0) {
                blocks.add(GpaRange.of(at, below));
            }
            at = below < node ? Math.max(at + below, HOLE_END) : at + below;
            if (below < node) {
                blocks.add(GpaRange.of(at, node - below));
                at += node - below;
            }
        }
        return new RamLayout(blocks);
    }

    /** All RAM in bytes. */
    public long bytes() {
        return blocks.stream().mapToLong(GpaRange::size).sum();
    }
}
