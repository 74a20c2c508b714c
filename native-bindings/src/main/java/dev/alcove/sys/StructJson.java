// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.UnionLayout;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/**
 * Writes a struct as a JSON object by the field names of its layout. Numbers are unsigned; arrays of bytes and unions
 * are hexadecimal text; what a variable struct has behind its fixed part comes as {@code tail}.
 */
final class StructJson {
    private static final int LONGEST_TEXT = 256;
    private static final HexFormat HEX = HexFormat.of();

    private StructJson() {}

    static void write(JsonGenerator json, MemorySegment memory, GroupLayout layout) throws IOException {
        if (memory.byteSize() < layout.byteSize()) {
            bytes(json, memory);
            return;
        }
        json.writeStartObject();
        fields(json, memory, 0, layout);
        if (memory.byteSize() > layout.byteSize()) {
            json.writeFieldName("tail");
            bytes(json, memory.asSlice(layout.byteSize()));
        }
        json.writeEndObject();
    }

    /** The first bytes of some memory, as hexadecimal text. */
    static void bytes(JsonGenerator json, MemorySegment memory) throws IOException {
        long length = Math.min(memory.byteSize(), LONGEST_TEXT);
        String text = HEX.formatHex(memory.asSlice(0, length).toArray(JAVA_BYTE));
        json.writeString(length < memory.byteSize() ? text + "... " + memory.byteSize() + " bytes" : text);
    }

    private static void fields(JsonGenerator json, MemorySegment memory, long base, GroupLayout layout)
            throws IOException {
        long offset = base;
        for (MemoryLayout member : layout.memberLayouts()) {
            if (!(member instanceof PaddingLayout)) {
                if (member.name().isPresent()) {
                    json.writeFieldName(member.name().get());
                    value(json, memory, offset, member);
                } else if (member instanceof GroupLayout nameless && !(member instanceof UnionLayout)) {
                    fields(json, memory, offset, nameless);
                }
            }
            offset += member.byteSize();
        }
    }

    private static void value(JsonGenerator json, MemorySegment memory, long offset, MemoryLayout layout)
            throws IOException {
        switch (layout) {
            case ValueLayout word -> number(json, memory, offset, word.byteSize());
            case UnionLayout union -> bytes(json, memory.asSlice(offset, union.byteSize()));
            case GroupLayout struct -> {
                json.writeStartObject();
                fields(json, memory, offset, struct);
                json.writeEndObject();
            }
            case SequenceLayout array when array.elementLayout().byteSize() == 1 ->
                bytes(json, memory.asSlice(offset, array.byteSize()));
            case SequenceLayout array -> {
                json.writeStartArray();
                for (long i = 0; i < array.elementCount(); i++) {
                    value(json, memory, offset + i * array.elementLayout().byteSize(), array.elementLayout());
                }
                json.writeEndArray();
            }
            case PaddingLayout padding -> json.writeNull();
        }
    }

    private static void number(JsonGenerator json, MemorySegment memory, long offset, long size) throws IOException {
        switch ((int) size) {
            case 1 -> json.writeNumber(Byte.toUnsignedInt(memory.get(JAVA_BYTE, offset)));
            case 2 -> json.writeNumber(Short.toUnsignedInt(memory.get(JAVA_SHORT_UNALIGNED, offset)));
            case 4 -> json.writeNumber(Integer.toUnsignedLong(memory.get(JAVA_INT_UNALIGNED, offset)));
            default -> json.writeNumber(Long.toUnsignedString(memory.get(JAVA_LONG_UNALIGNED, offset)));
        }
    }
}
