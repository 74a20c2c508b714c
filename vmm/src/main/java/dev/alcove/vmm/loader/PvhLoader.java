// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Puts an image and its start information into guest memory, as the x86/HVM direct boot ABI (PVH) wants it.
 *
 * <p>The start information ({@code struct hvm_start_info} version 1, its memory map and the command line) gets
 * pages of its own below 640 KiB, or behind the image where it uses that memory.
 */
public final class PvhLoader {
    private static final int PAGE_SIZE = 4096;
    private static final long FIRST_INFO_PAGE = 0x6000;
    private static final long LAST_LOW_ADDRESS = 0x9_f000;
    private static final int MAX_COMMAND_LINE = 2 * PAGE_SIZE;

    private static final int HVM_START_MAGIC = 0x336ec578;
    private static final int START_INFO_BYTES = 56;
    private static final int MEMMAP_ENTRY_BYTES = 24;

    private static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED;

    /** Guest memory as the loader sees it: the shared (VMM side) view of [gpa, gpa + length), which is RAM. */
    @FunctionalInterface
    public interface Memory {
        MemorySegment shared(long gpa, long length);
    }

    /** Page-aligned bytes [address, end) that the loader wrote, and that must be shared when the guest starts. */
    public record Range(long address, long end) {}

    /**
     * An image in memory.
     *
     * @param entry the entry point, for eip
     * @param startInfo the address of the start information, for ebx
     * @param ranges every page that was written, by ascending address, merged
     */
    public record Loaded(long entry, long startInfo, List<Range> ranges) {}

    private PvhLoader() {}

    /**
     * The pages of the image alone, page-aligned and merged, checked against the memory map.
     *
     * @throws BadInputException when a segment is not in RAM
     */
    static List<Range> imagePages(PvhImage image, MemoryMap map) {
        List<Range> pages = new ArrayList<>();
        for (Elf64.Segment segment : image.elf().segments()) {
            if (!map.isRam(segment.address(), segment.memoryBytes())) {
                throw new BadInputException(
                        "bad image: segment [0x" + Long.toHexString(segment.address()) + ", 0x"
                                + Long.toHexString(segment.end()) + ") is not in the guest's RAM of "
                                + map.bytes() + " bytes",
                        "give the guest more memory with --memory");
            }
            merge(pages, new Range(segment.address() & -PAGE_SIZE, alignUp(segment.end())));
        }
        return pages;
    }

    /**
     * Loads the image.
     *
     * @param commandLine ASCII, without zero bytes
     * @throws BadInputException when the image or the command line does not fit
     */
    public static Loaded load(PvhImage image, MemoryMap map, String commandLine, Memory memory) {
        byte[] command = (commandLine + '\0').getBytes(StandardCharsets.US_ASCII);
        if (command.length > MAX_COMMAND_LINE || commandLine.indexOf('\0') >= 0) {
            throw new BadInputException("the guest's command line has " + commandLine.length()
                    + " characters; at most " + (MAX_COMMAND_LINE - 1) + " and no zero characters are allowed");
        }
        List<Range> pages = imagePages(image, map);
        List<MemoryMap.Entry> entries = map.entries();
        int commandOffset = START_INFO_BYTES + entries.size() * MEMMAP_ENTRY_BYTES;
        long infoBytes = alignUp(commandOffset + command.length);
        long info = placeFor(infoBytes, pages, map);

        for (Elf64.Segment segment : image.elf().segments()) {
            MemorySegment file = MemorySegment.ofBuffer(image.elf().file());
            MemorySegment source = file.asSlice(segment.fileOffset(), segment.fileBytes());
            fill(memory, map, segment.address(), segment.memoryBytes(), source);
        }
        MemorySegment start = MemorySegment.ofArray(new long[(int) infoBytes / Long.BYTES]);
        writeStartInfo(start, info, entries, command, commandOffset);
        fill(memory, map, info, infoBytes, start);
        merge(pages, new Range(info, info + infoBytes));
        return new Loaded(image.entry(), info, List.copyOf(pages));
    }

    /** Copies a source into guest memory, block by block, with zeroes behind it. */
    private static void fill(Memory memory, MemoryMap map, long address, long bytes, MemorySegment source) {
        for (long done = 0; done < bytes; ) {
            MemorySegment target = memory.shared(address + done, map.inBlock(address + done, bytes - done));
            long copied = Math.clamp(source.byteSize() - done, 0, target.byteSize());
            if (copied > 0) {
                MemorySegment.copy(source, done, target, 0, copied);
            }
            target.asSlice(copied).fill((byte) 0);
            done += target.byteSize();
        }
    }

    /** Writes struct hvm_start_info, the memory map behind it, and the command line behind that. */
    private static void writeStartInfo(
            MemorySegment target, long info, List<MemoryMap.Entry> entries, byte[] command, int commandOffset) {
        target.set(U32, 0, HVM_START_MAGIC);
        target.set(U32, 4, 1); // version
        target.set(U64, 24, info + commandOffset); // cmdline_paddr
        target.set(U64, 40, info + START_INFO_BYTES); // memmap_paddr
        target.set(U32, 48, entries.size());
        int at = START_INFO_BYTES;
        for (MemoryMap.Entry entry : entries) {
            target.set(U64, at, entry.address());
            target.set(U64, at + 8, entry.size());
            target.set(U32, at + 16, entry.type());
            at += MEMMAP_ENTRY_BYTES;
        }
        MemorySegment.copy(command, 0, target, ValueLayout.JAVA_BYTE, commandOffset, command.length);
    }

    /** Pages for the start information: low memory first, then behind any of the image's ranges. */
    private static long placeFor(long bytes, List<Range> pages, MemoryMap map) {
        for (long at = FIRST_INFO_PAGE; at + bytes <= LAST_LOW_ADDRESS; at += PAGE_SIZE) {
            if (map.isRam(at, bytes) && isFree(at, bytes, pages)) {
                return at;
            }
        }
        for (Range range : pages) {
            long at = Math.max(range.end(), 0x10_0000);
            if (at + bytes <= RamLayout.HOLE_START && map.isRam(at, bytes) && isFree(at, bytes, pages)) {
                return at;
            }
        }
        throw new BadInputException(
                "no room for " + bytes + " bytes of PVH start information beside the image",
                "give the guest more memory with --memory");
    }

    private static boolean isFree(long address, long bytes, List<Range> pages) {
        return pages.stream().allMatch(r -> address + bytes <= r.address() || r.end() <= address);
    }

    /** Adds a range to a sorted list of disjoint ranges, joining those that touch. */
    private static void merge(List<Range> ranges, Range added) {
        long start = added.address();
        long end = added.end();
        int i = 0;
        while (i < ranges.size() && ranges.get(i).end() < start) {
            i++;
        }
        while (i < ranges.size() && ranges.get(i).address() <= end) {
            Range touching = ranges.remove(i);
            start = Math.min(start, touching.address());
            end = Math.max(end, touching.end());
        }
        ranges.add(i, new Range(start, end));
    }

    private static long alignUp(long value) {
        return (value + PAGE_SIZE - 1) & -PAGE_SIZE;
    }
}
