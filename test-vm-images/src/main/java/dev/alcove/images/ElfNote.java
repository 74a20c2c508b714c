// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A note of an ELF64 file's PT_NOTE segments (System V gABI, chapter 5, with 4-byte alignment as Linux and Xen use it).
 *
 * @param name the owner, without the terminating zero
 * @param type what the owner means by it
 * @param description the content, little-endian, read-only, from position 0
 */
record ElfNote(String name, int type, ByteBuffer description) {
    private static final int ELF_MAGIC = 0x464c457f;
    private static final int CLASS64_LITTLE_ENDIAN = 0x0102;
    private static final int PROGRAM_HEADER_SIZE = 56;
    private static final int PT_NOTE = 4;

    /**
     * All notes of a file.
     *
     * @throws IllegalArgumentException if it is no ELF64 file, or a header or note leaves the file
     */
    static List<ElfNote> readAll(byte[] elf) {
        var file = ByteBuffer.wrap(elf).order(ByteOrder.LITTLE_ENDIAN).asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
        try {
            if (file.getInt(0) != ELF_MAGIC || file.getShort(4) != CLASS64_LITTLE_ENDIAN) {
                throw new IllegalArgumentException("not a little-endian ELF64 file");
            }
            long table = file.getLong(32);
            int entrySize = Short.toUnsignedInt(file.getShort(54));
            int entries = Short.toUnsignedInt(file.getShort(56));
            if (entries > 0 && entrySize != PROGRAM_HEADER_SIZE) {
                throw new IllegalArgumentException("ELF program headers of " + entrySize + " bytes");
            }
            var notes = new ArrayList<ElfNote>();
            for (int i = 0; i < entries; i++) {
                ByteBuffer header = piece(file, table + (long) i * entrySize, entrySize);
                if (header.getInt(0) == PT_NOTE) {
                    readSegment(piece(file, header.getLong(8), header.getLong(32)), notes);
                }
            }
            return List.copyOf(notes);
        } catch (BufferUnderflowException | IndexOutOfBoundsException e) {
            throw new IllegalArgumentException("ELF file is truncated", e);
        }
    }

    private static void readSegment(ByteBuffer segment, List<ElfNote> notes) {
        while (segment.hasRemaining()) {
            int nameSize = segment.getInt();
            int size = segment.getInt();
            int type = segment.getInt();
            ByteBuffer name = take(segment, nameSize);
            ByteBuffer description = take(segment, size);
            notes.add(new ElfNote(text(name), type, description));
        }
    }

    /** The next size bytes; the position moves on to the next multiple of 4, or to the end. */
    private static ByteBuffer take(ByteBuffer segment, int size) {
        ByteBuffer taken = piece(segment, segment.position(), Integer.toUnsignedLong(size));
        segment.position(Math.min(segment.limit(), segment.position() + (size + 3 & ~3)));
        return taken;
    }

    private static ByteBuffer piece(ByteBuffer of, long offset, long size) {
        if (offset < 0 || size < 0 || offset > of.limit() || size > of.limit() - offset) {
            throw new IllegalArgumentException("ELF file: " + size + " bytes at " + offset + " are outside of it");
        }
        return of.slice((int) offset, (int) size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The bytes up to a zero or the end as ASCII. */
    static String text(ByteBuffer bytes) {
        var raw = new byte[bytes.remaining()];
        bytes.get(bytes.position(), raw);
        int end = 0;
        while (end < raw.length && raw[end] != 0) {
            end++;
        }
        return new String(raw, 0, end, StandardCharsets.US_ASCII);
    }
}
