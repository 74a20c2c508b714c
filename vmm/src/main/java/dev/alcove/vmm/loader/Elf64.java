// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.sys.BadInputException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/**
 * An ELF64 executable for x86-64, parsed from input that nobody vouches for.
 *
 * <p>Every offset, size and count is checked against the file before it is used; anything wrong is a
 * {@link BadInputException} that names the field. Only what a loader needs is kept: the entry point, the loadable
 * segments and the notes.
 */
public final class Elf64 {
    private static final int HEADER_BYTES = 64;
    private static final int PROGRAM_HEADER_BYTES = 56;
    private static final int NOTE_HEADER_BYTES = 12;
    private static final int MAX_PROGRAM_HEADERS = 128;
    private static final int MAX_NOTES = 1024;

    private static final byte[] MAGIC = {0x7f, 'E', 'L', 'F'};
    private static final int CLASS_64 = 2;
    private static final int DATA_LITTLE_ENDIAN = 1;
    private static final int TYPE_EXECUTABLE = 2;
    private static final int MACHINE_X86_64 = 62;
    private static final int PT_LOAD = 1;
    private static final int PT_NOTE = 4;

    /**
     * A loadable segment: {@code fileBytes} bytes of the file at {@code fileOffset} go to guest physical
     * {@code address}; the rest up to {@code memoryBytes} is zero.
     */
    public record Segment(long fileOffset, long fileBytes, long address, long memoryBytes) {
        /** The first address after the segment. */
        public long end() {
            return address + memoryBytes;
        }
    }

    /** One note. The description is a read-only little-endian view of the file. */
    public record Note(String name, int type, ByteBuffer description) {}

    private final ByteBuffer file;
    private final long entry;
    private final List<Segment> segments;
    private final List<Note> notes;

    private Elf64(ByteBuffer file, long entry, List<Segment> segments, List<Note> notes) {
        this.file = file;
        this.entry = entry;
        this.segments = Collections.unmodifiableList(segments);
        this.notes = Collections.unmodifiableList(notes);
    }

    /**
     * Parses a whole file.
     *
     * @throws BadInputException with the field at fault
     */
    public static Elf64 parse(byte[] bytes) {
        ByteBuffer file = ByteBuffer.wrap(bytes).asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.length < HEADER_BYTES) {
            throw bad("the file has " + bytes.length + " bytes, an ELF64 header needs " + HEADER_BYTES);
        }
        for (int i = 0; i < MAGIC.length; i++) {
            require(bytes[i] == MAGIC[i], "no ELF magic at offset 0");
        }
        require(bytes[4] == CLASS_64, "e_ident[EI_CLASS] is " + (bytes[4] & 0xff) + ", not ELFCLASS64 (2)");
        require(bytes[5] == DATA_LITTLE_ENDIAN, "e_ident[EI_DATA] is " + (bytes[5] & 0xff) + ", not ELFDATA2LSB (1)");
        require(bytes[6] == 1, "e_ident[EI_VERSION] is " + (bytes[6] & 0xff) + ", not 1");
        int type = u16(file, 16);
        require(type == TYPE_EXECUTABLE, "e_type is " + type + ", not ET_EXEC (2)");
        int machine = u16(file, 18);
        require(machine == MACHINE_X86_64, "e_machine is " + machine + ", not EM_X86_64 (62)");
        int headerBytes = u16(file, 52);
        require(headerBytes >= HEADER_BYTES, "e_ehsize is " + headerBytes + ", below " + HEADER_BYTES);
        int entryBytes = u16(file, 54);
        require(entryBytes == PROGRAM_HEADER_BYTES, "e_phentsize is " + entryBytes + ", not " + PROGRAM_HEADER_BYTES);
        int count = u16(file, 56);
        require(count > 0, "e_phnum is 0: no program headers");
        require(count <= MAX_PROGRAM_HEADERS, "e_phnum is " + count + ", above " + MAX_PROGRAM_HEADERS);
        long table = file.getLong(32);
        checkInFile(file, table, (long) count * PROGRAM_HEADER_BYTES, "the program header table (e_phoff)");

        List<Segment> segments = new ArrayList<>();
        List<Note> notes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int header = (int) table + i * PROGRAM_HEADER_BYTES;
            String where = "program header " + i;
            int headerType = file.getInt(header);
            long offset = file.getLong(header + 8);
            long address = file.getLong(header + 24);
            long fileBytes = file.getLong(header + 32);
            long memoryBytes = file.getLong(header + 40);
            long alignment = file.getLong(header + 48);
            if (headerType == PT_LOAD && memoryBytes != 0) {
                checkInFile(file, offset, fileBytes, where + " (PT_LOAD)");
                require(
                        Long.compareUnsigned(fileBytes, memoryBytes) <= 0,
                        where + ": p_filesz " + hex(fileBytes) + " is above p_memsz " + hex(memoryBytes));
                require(
                        address >= 0 && memoryBytes > 0 && address + memoryBytes > 0,
                        where + ": p_paddr " + hex(address) + " + p_memsz " + hex(memoryBytes)
                                + " leaves the address space");
                segments.add(new Segment(offset, fileBytes, address, memoryBytes));
            } else if (headerType == PT_NOTE) {
                checkInFile(file, offset, fileBytes, where + " (PT_NOTE)");
                parseNotes(file, (int) offset, (int) fileBytes, alignment == 8 ? 8 : 4, where, notes);
            }
        }
        require(!segments.isEmpty(), "no loadable segment (PT_LOAD)");
        segments.sort(Comparator.comparingLong(Segment::address));
        for (int i = 1; i < segments.size(); i++) {
            Segment before = segments.get(i - 1);
            Segment after = segments.get(i);
            require(
                    before.end() <= after.address(),
                    "segments overlap: [" + hex(before.address()) + ", " + hex(before.end()) + ") and ["
                            + hex(after.address()) + ", " + hex(after.end()) + ")");
        }
        return new Elf64(file, file.getLong(24), segments, notes);
    }

    private static void parseNotes(
            ByteBuffer file, int start, int length, int alignment, String where, List<Note> notes) {
        int end = start + length;
        int at = start;
        while (end - at >= NOTE_HEADER_BYTES) {
            require(notes.size() < MAX_NOTES, where + ": more than " + MAX_NOTES + " notes");
            long nameBytes = file.getInt(at) & 0xffff_ffffL;
            long descriptionBytes = file.getInt(at + 4) & 0xffff_ffffL;
            int type = file.getInt(at + 8);
            long name = (long) at + NOTE_HEADER_BYTES;
            long description = start + alignUp(name - start + nameBytes, alignment);
            require(
                    name + nameBytes <= end && description + descriptionBytes <= end,
                    where + ": the note at file offset " + hex(at) + " (name " + nameBytes + " bytes, description "
                            + descriptionBytes + " bytes) goes beyond its segment");
            notes.add(new Note(
                    text(file, (int) name, (int) nameBytes),
                    type,
                    file.slice((int) description, (int) descriptionBytes).order(ByteOrder.LITTLE_ENDIAN)));
            at = (int) Math.min(end, start + alignUp(description - start + descriptionBytes, alignment));
        }
    }

    /** A note's name without its terminating zero; bytes that are not ASCII become replacement characters. */
    private static String text(ByteBuffer file, int offset, int length) {
        byte[] bytes = new byte[length];
        file.get(offset, bytes);
        int end = length > 0 && bytes[length - 1] == 0 ? length - 1 : length;
        return new String(bytes, 0, end, StandardCharsets.US_ASCII);
    }

    /** The file's bytes, read-only. */
    public ByteBuffer file() {
        return file.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** {@code e_entry}: where a 64-bit loader would start. PVH has its own entry point in a note. */
    public long entry() {
        return entry;
    }

    /** The loadable segments by ascending address; they do not overlap, and none is empty. */
    public List<Segment> segments() {
        return segments;
    }

    /** All notes, in file order. */
    public List<Note> notes() {
        return notes;
    }

    private static long alignUp(long value, int alignment) {
        return (value + alignment - 1) & -alignment;
    }

    private static int u16(ByteBuffer file, int offset) {
        return file.getShort(offset) & 0xffff;
    }

    private static void checkInFile(ByteBuffer file, long offset, long length, String what) {
        long size = file.capacity();
        require(
                offset >= 0 && length >= 0 && offset <= size && length <= size - offset,
                what + " at file offset " + hex(offset) + " with " + hex(length) + " bytes goes beyond the file of "
                        + hex(size) + " bytes");
    }

    private static void require(boolean condition, String problem) {
        if (!condition) {
            throw bad(problem);
        }
    }

    private static BadInputException bad(String problem) {
        return new BadInputException("bad ELF image: " + problem);
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}
