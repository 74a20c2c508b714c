// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class TestVmImageTest {
    private static final int PT_LOAD = 1;

    @Test
    void imagesSayWhatTheyWant() {
        assertEquals(
                List.of("hello", "convert", "dma", "storm", "abuse"),
                TestVmImage.all().stream().map(TestVmImage::name).toList());
        assertWants("hello", false, false);
        assertWants("convert", true, false);
        assertWants("dma", true, true);
        assertWants("storm", true, false);
        assertWants("abuse", true, false);
        assertEquals(Optional.empty(), TestVmImage.find("../images/hello"));
    }

    private static void assertWants(String name, boolean conversions, boolean edu) {
        TestVmImage image = TestVmImage.find(name).orElseThrow();
        assertEquals(conversions, image.notes().usesConversions(), name);
        assertEquals(edu, image.notes().needsEdu(), name);
        assertFalse(image.description().isBlank(), name);
        assertFalse(image.description().contains("\n"), name);
    }

    @Test
    void everyImageHasThePvhEntryInsideItsFirstSegment() {
        for (TestVmImage image : TestVmImage.all()) {
            ElfNote entry = ElfNote.readAll(image.elf()).getFirst();

            assertEquals("Xen", entry.name());
            assertEquals(18, entry.type());
            long address = entry.description().getLong(0);
            assertTrue(address > 0x100000 && address < 0x101000, () -> image.name() + " begins at " + address);
        }
    }

    @Test
    void segmentsArePageAlignedAndEndBelowTwoMebibytes() {
        for (TestVmImage image : TestVmImage.all()) {
            ByteBuffer elf = ByteBuffer.wrap(image.elf()).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < elf.getShort(56); i++) {
                int header = (int) elf.getLong(32) + i * 56;
                if (elf.getInt(header) == PT_LOAD) {
                    long address = elf.getLong(header + 24);
                    assertEquals(address, elf.getLong(header + 16), "virtual and physical address");
                    assertEquals(0, address % 4096, image.name());
                    assertTrue(address >= 0x100000 && address + elf.getLong(header + 40) <= 0x200000, image.name());
                }
            }
        }
    }

    @Test
    void damagedFilesAreRefused() {
        byte[] elf = TestVmImage.find("dma").orElseThrow().elf();
        assertThrows(IllegalArgumentException.class, () -> ImageNotes.read(new byte[0]));
        assertThrows(IllegalArgumentException.class, () -> ImageNotes.read(new byte[64]));
        assertThrows(IllegalArgumentException.class, () -> ImageNotes.read(Arrays.copyOf(elf, 100)));
        assertThrows(IllegalArgumentException.class, () -> ImageNotes.read(Arrays.copyOf(elf, 4096 + 8)));
    }

    @Test
    void noDamageLeadsToAnotherException() {
        byte[] elf = TestVmImage.find("hello").orElseThrow().elf();
        for (long seed = 0; seed < 20_000; seed++) {
            var random = new Random(seed);
            byte[] damaged = elf.clone();
            for (int i = 0; i < 3; i++) {
                int at = random.nextBoolean() ? random.nextInt(232) : 4096 + random.nextInt(140);
                damaged[at] = (byte) random.nextInt();
            }
            try {
                ImageNotes.read(damaged);
            } catch (IllegalArgumentException e) {
                // Refused, as it may be.
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }
}
