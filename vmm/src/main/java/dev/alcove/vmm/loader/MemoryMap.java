// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.discard.GpaRange;
import dev.alcove.memory.RamLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * What the guest is told about its memory, in the terms of the E820 table.
 *
 * <p>The range from 640 KiB to 1 MiB is backed by RAM too, but is reported as reserved, as on a PC.
 *
 * @param layout where RAM lies
 */
public record MemoryMap(RamLayout layout) {
    private static final long BIOS_HOLE = 0xa_0000;
    private static final long BIOS_HOLE_END = 0x10_0000;

    /** Types of an entry. */
    public static final int TYPE_RAM = 1;

    public static final int TYPE_RESERVED = 2;

    /** An entry: bytes [address, address + size). */
    public record Entry(long address, long size, int type) {}

    /** The entries, by ascending address. */
    public List<Entry> entries() {
        List<Entry> entries = new ArrayList<>();
        boolean hole = false;
        for (GpaRange block : layout.blocks()) {
            long start = block.start().value();
            long end = block.end();
            if (start >= RamLayout.HOLE_END && !hole) {
                entries.add(deviceHole());
                hole = true;
            }
            add(entries, start, Math.min(end, BIOS_HOLE), TYPE_RAM);
            add(entries, Math.max(start, BIOS_HOLE), Math.min(end, BIOS_HOLE_END), TYPE_RESERVED);
            add(entries, Math.max(start, BIOS_HOLE_END), end, TYPE_RAM);
        }
        if (!hole) {
            entries.add(deviceHole());
        }
        return entries;
    }

    private static Entry deviceHole() {
        return new Entry(RamLayout.HOLE_START, RamLayout.HOLE_END - RamLayout.HOLE_START, TYPE_RESERVED);
    }

    private static void add(List<Entry> entries, long start, long end, int type) {
        if (start < end) {
            entries.add(new Entry(start, end - start, type));
        }
    }

    /** Whether [address, address + size) is RAM, in one block or in several that touch. */
    public boolean isRam(long address, long size) {
        if (size < 0 || address < 0) {
            return false;
        }
        long at = address;
        long left = size;
        while (true) {
            long piece = inBlock(at, left);
            if (piece < 0) {
                return false;
            }
            left -= piece;
            if (left == 0) {
                return true;
            }
            at += piece;
        }
    }

    /** How much of [address, address + size) is in the block that holds the address; -1 where none does. */
    long inBlock(long address, long size) {
        for (GpaRange block : layout.blocks()) {
            long start = block.start().value();
            if (address >= start && address < block.end()) {
                return Math.min(size, block.end() - address);
            }
        }
        return -1;
    }

    /** All RAM in bytes. */
    public long bytes() {
        return layout.bytes();
    }
}
