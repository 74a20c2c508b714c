// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** A small valid PVH image for tests: two segments and the notes, with fields at known offsets to spoil. */
final class ElfBuilder {
    static final int HEADERS = 64;
    static final int NOTES = 0x400;
    static final int CODE = 0x1000;
    static final int PROGRAM_HEADER = 56;

    private final ByteBuffer file = ByteBuffer.allocate(0x2000).order(ByteOrder.LITTLE_ENDIAN);

    ElfBuilder() {
        file.put(0, new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1});
        file.putShort(16, (short) 2).putShort(18, (short) 62).putInt(20, 1);
        file.putLong(24, 0x10_0000).putLong(32, HEADERS);
        file.putShort(52, (short) 64).putShort(54, (short) PROGRAM_HEADER).putShort(56, (short) 3);
        segment(0, 1, CODE, 0x10_0000, 0x800, 0x1800);
        segment(1, 1, CODE + 0x800, 0x20_0000, 0x10, 0x10);
        int end = note(NOTES, "Xen", 18, new byte[] {0x10, 0, 0x10, 0, 0, 0, 0, 0});
        end = note(end, "Alcove", 1, new byte[] {1, 0, 0, 0});
        end = note(end, "Alcove", 2, "converts\u001b[2J\n".getBytes(StandardCharsets.US_ASCII));
        segment(2, 4, NOTES, 0, end - NOTES, end - NOTES);
        for (int i = 0; i < 0x810; i++) {
            file.put(CODE + i, (byte) i);
        }
    }

    void segment(int index, int type, long offset, long address, long fileBytes, long memoryBytes) {
        int at = HEADERS + index * PROGRAM_HEADER;
        file.putInt(at, type).putLong(at + 8, offset).putLong(at + 24, address);
        file.putLong(at + 32, fileBytes).putLong(at + 40, memoryBytes).putLong(at + 48, 4);
    }

    private int note(int at, String name, int type, byte[] description) {
        byte[] text = (name + '\0').getBytes(StandardCharsets.US_ASCII);
        file.putInt(at, text.length).putInt(at + 4, description.length).putInt(at + 8, type);
        file.put(at + 12, text);
        int start = at + 12 + ((text.length + 3) & ~3);
        file.put(start, description);
        return start + ((description.length + 3) & ~3);
    }

    ByteBuffer fields() {
        return file;
    }

    byte[] bytes() {
        return file.array().clone();
    }
}
