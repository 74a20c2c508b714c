// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

class Elf64Test {
    private static final int PHDR0 = ElfBuilder.HEADERS;
    private static final int PHDR1 = ElfBuilder.HEADERS + ElfBuilder.PROGRAM_HEADER;
    private static final int PHDR2 = ElfBuilder.HEADERS + 2 * ElfBuilder.PROGRAM_HEADER;

    @Test
    void aGoodImageIsRead() {
        PvhImage image = PvhImage.parse(new ElfBuilder().bytes());
        assertEquals(0x10_0010, image.entry());
        assertEquals(2, image.elf().segments().size());
        assertEquals(0x10_0000, image.elf().segments().get(0).address());
        assertTrue(image.note().wantsPrivateMemory());
        assertEquals("converts [2J", image.note().description(), "control characters are gone");
    }

    static Stream<Arguments> spoilers() {
        return Stream.of(
                spoil("ELF magic", f -> f.put(0, (byte) 0)),
                spoil("EI_CLASS", f -> f.put(4, (byte) 1)),
                spoil("EI_DATA", f -> f.put(5, (byte) 2)),
                spoil("EI_VERSION", f -> f.put(6, (byte) 7)),
                spoil("e_type", f -> f.putShort(16, (short) 1)),
                spoil("e_machine", f -> f.putShort(18, (short) 183)),
                spoil("e_ehsize", f -> f.putShort(52, (short) 52)),
                spoil("e_phentsize", f -> f.putShort(54, (short) 32)),
                spoil("e_phnum is 0", f -> f.putShort(56, (short) 0)),
                spoil("e_phnum is 65535", f -> f.putShort(56, (short) -1)),
                spoil("e_phoff", f -> f.putLong(32, 0x1fff)),
                spoil("e_phoff", f -> f.putLong(32, -8)),
                spoil("e_phoff", f -> f.putLong(32, Long.MAX_VALUE)),
                spoil("header 0 (PT_LOAD)", f -> f.putLong(PHDR0 + 8, -1)),
                spoil("header 0 (PT_LOAD)", f -> f.putLong(PHDR0 + 32, Long.MIN_VALUE)),
                spoil("p_filesz", f -> f.putLong(PHDR0 + 40, 0x7ff)),
                spoil("address space", f -> f.putLong(PHDR0 + 24, -4096)),
                spoil("address space", f -> f.putLong(PHDR0 + 40, Long.MAX_VALUE)),
                spoil("overlap", f -> f.putLong(PHDR1 + 24, 0x10_17ff)),
                spoil("PT_NOTE", f -> f.putLong(PHDR2 + 32, 0x10_0000)),
                spoil("note at file offset 0x400", f -> f.putInt(ElfBuilder.NOTES, -1)),
                spoil("note at file offset 0x400", f -> f.putInt(ElfBuilder.NOTES + 4, -1)),
                spoil("no PVH entry", f -> f.putInt(ElfBuilder.NOTES + 8, 17)),
                spoil("no PVH entry", f -> f.putInt(PHDR2, 0)),
                spoil("not 4 or 8", f -> f.putInt(ElfBuilder.NOTES + 4, 6)),
                spoil("below 4 GiB", f -> f.putInt(ElfBuilder.NOTES + 20, 1)),
                spoil("in no loadable segment", f -> f.putInt(ElfBuilder.NOTES + 16, 0x30_0000)),
                spoil("unknown flags", f -> f.putInt(ElfBuilder.NOTES + 24 + 20, 0x80)));
    }

    private static Arguments spoil(String complaint, Consumer<ByteBuffer> spoiler) {
        return Arguments.of(complaint, spoiler);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("spoilers")
    void aSpoiltFieldIsNamed(String complaint, Consumer<ByteBuffer> spoiler) {
        ElfBuilder elf = new ElfBuilder();
        spoiler.accept(elf.fields());
        var error = assertThrows(BadInputException.class, () -> PvhImage.parse(elf.bytes()));
        assertTrue(String.valueOf(error.getMessage()).contains(complaint), error.getMessage());
    }

    @Test
    void everyTruncationIsBadInput() {
        byte[] good = new ElfBuilder().bytes();
        int needed = ElfBuilder.CODE + 0x810;
        for (int length = 0; length < needed; length += length < 0x600 ? 1 : 97) {
            byte[] cut = Arrays.copyOf(good, length);
            int shown = length;
            assertThrows(BadInputException.class, () -> PvhImage.parse(cut), () -> "cut to " + shown + " bytes");
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void mutationsNeverGiveAnotherError(long seed) {
        Random random = new Random(seed);
        byte[] good = new ElfBuilder().bytes();
        byte[] odd = {0, 1, 0x7f, (byte) 0x80, (byte) 0xff};
        MemoryMap map = new MemoryMap(RamLayout.of(4 << 20, 4 << 20));
        GuestRam ram = new GuestRam(4 << 20);
        for (int i = 0; i < 5_000; i++) {
            byte[] bytes = good.clone();
            for (int n = 1 + random.nextInt(6); n > 0; n--) {
                int at = random.nextInt(4) == 0 ? ElfBuilder.NOTES + random.nextInt(0x60) : random.nextInt(232);
                bytes[at] = random.nextBoolean() ? odd[random.nextInt(odd.length)] : (byte) random.nextInt();
            }
            if (random.nextInt(8) == 0) {
                bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
            }
            try {
                PvhLoader.load(PvhImage.parse(bytes), map, "seed=" + i, ram);
            } catch (BadInputException expected) {
                assertTrue(String.valueOf(expected.getMessage()).length() > 10);
            } catch (RuntimeException e) {
                fail("seed " + seed + ", round " + i, e);
            }
        }
    }
}
