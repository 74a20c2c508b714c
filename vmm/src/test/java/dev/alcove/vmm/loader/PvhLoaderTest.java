// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class PvhLoaderTest {
    private static MemoryMap map(long bytes) {
        return new MemoryMap(RamLayout.of(bytes, bytes));
    }

    private static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED;

    @Test
    void segmentsAndStartInfoAreInMemory() {
        GuestRam ram = new GuestRam(16 << 20);
        MemorySegment bytes = ram.bytes;
        PvhLoader.Loaded loaded =
                PvhLoader.load(PvhImage.parse(new ElfBuilder().bytes()), map(16 << 20), "seed=1", ram);

        assertEquals(0x10_0010, loaded.entry());
        assertEquals(7, bytes.get(ValueLayout.JAVA_BYTE, 0x10_0007));
        assertEquals(0, bytes.get(ValueLayout.JAVA_BYTE, 0x10_0801), "the rest of a segment is zero");
        assertEquals((byte) 0xa5, bytes.get(ValueLayout.JAVA_BYTE, 0x10_1800), "nothing behind a segment changes");
        long info = loaded.startInfo();
        assertEquals(0x336ec578, bytes.get(U32, info));
        assertEquals(1, bytes.get(U32, info + 4));
        assertEquals("seed=1", bytes.getString(bytes.get(U64, info + 24)));
        int entries = bytes.get(U32, info + 48);
        long memmap = bytes.get(U64, info + 40);
        long ramBytes = 0;
        for (int i = 0; i < entries; i++) {
            if (bytes.get(U32, memmap + i * 24L + 16) == MemoryMap.TYPE_RAM) {
                ramBytes += bytes.get(U64, memmap + i * 24L + 8);
            }
        }
        assertEquals((16 << 20) - 0x6_0000, ramBytes, "all but 640 KiB to 1 MiB");
        assertEquals(
                List.of(
                        new PvhLoader.Range(info, info + 4096),
                        new PvhLoader.Range(0x10_0000, 0x10_2000),
                        new PvhLoader.Range(0x20_0000, 0x20_1000)),
                loaded.ranges());
    }

    @Test
    void startInfoMakesWayForAnImageInLowMemory() {
        ElfBuilder elf = new ElfBuilder();
        elf.segment(1, 1, ElfBuilder.CODE, 0x1000, 0x10, 0x9_e000);
        PvhLoader.Loaded loaded = PvhLoader.load(
                PvhImage.parse(elf.bytes()), map(16 << 20), "", new GuestRam(16 << 20));
        assertEquals(0x10_2000, loaded.startInfo());
    }

    @Test
    void anImageOutsideRamIsRefused() {
        ElfBuilder elf = new ElfBuilder();
        elf.segment(1, 1, ElfBuilder.CODE, 0xfff_fff0L, 0x10, 0x11);
        PvhImage image = PvhImage.parse(elf.bytes());
        var error = assertThrows(
                BadInputException.class,
                () -> PvhLoader.load(image, map(256 << 20), "", new GuestRam(4096)));
        assertTrue(String.valueOf(error.getMessage()).contains("[0xffffff0, 0x10000001)"), error.getMessage());
    }

    @Test
    void aLongCommandLineIsRefused() {
        PvhImage image = PvhImage.parse(new ElfBuilder().bytes());
        assertThrows(
                BadInputException.class,
                () -> PvhLoader.load(image, map(16 << 20), "x".repeat(8192), new GuestRam(16 << 20)));
    }

    @Test
    void memoryAboveThePciHoleContinuesAt4GiB() {
        MemoryMap map = map(5L << 30);
        assertEquals(new MemoryMap.Entry(4L << 30, 2L << 30, MemoryMap.TYPE_RAM), map.entries().getLast());
        assertTrue(map.isRam(4L << 30, 2L << 30));
        assertEquals(false, map.isRam((3L << 30) - 1, 2));
        assertEquals(false, map.isRam(4L << 30, Long.MAX_VALUE));
    }
}
