// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.UnionLayout;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/**
 * A struct as a tree by the field names of its layout, and back. Numbers are unsigned. An array ends at its last
 * element that is not zero. An array without a length takes what the memory has behind the struct; where there is none,
 * that comes as {@code tail}. A nameless struct's fields stand among its owner's; a nameless union is its first member.
 * A union with a name is the member that {@link UnionMembers} picks, else bytes. A struct that ends early, as an older
 * one does, has the fields that are there in full, and what is left as {@code tail}.
 */
final class StructTree {
    private static final String TAIL = "tail";

    private StructTree() {}

    /** The tree of a struct. */
    static Map<String, @Nullable Object> of(MemorySegment memory, GroupLayout layout) {
        Map<String, @Nullable Object> tree = new LinkedHashMap<>();
        long end = readFields(memory, 0, layout, tree, true);
        if (memory.byteSize() > end) {
            tree.put(TAIL, Values.trimmed(memory.asSlice(end).toArray(JAVA_BYTE)));
        }
        return tree;
    }

    /**
     * Writes a tree into memory that is all zeros.
     *
     * @throws BadInputException the tree does not fit the struct
     */
    static void write(Map<String, @Nullable Object> tree, MemorySegment memory, GroupLayout layout) {
        Map<String, @Nullable Object> left = new LinkedHashMap<>(tree);
        long end = writeFields(memory, 0, layout, left, true);
        Object tail = left.remove(TAIL);
        if (tail != null) {
            writeBytes(Values.bytes(tail, TAIL), memory.asSlice(end), TAIL);
        }
        for (String name : left.keySet()) {
            if (!name.startsWith("*")) {
                throw new BadInputException("there is no field '" + name + "' in "
                        + layout.name().orElse("the struct"));
            }
        }
    }

    private static boolean nameless(MemoryLayout member) {
        return member.name().map(name -> name.startsWith("$anon$")).orElse(true);
    }

    /** The member that stands for a union without a name. */
    private static MemoryLayout first(UnionLayout union) {
        return union.memberLayouts().getFirst();
    }

    private static long readFields(
            MemorySegment memory, long base, GroupLayout layout, Map<String, @Nullable Object> into, boolean last) {
        long offset = base;
        long end = Math.min(base + layout.byteSize(), memory.byteSize());
        for (MemoryLayout member : layout.memberLayouts()) {
            if (offset + member.byteSize() > memory.byteSize()) {
                return offset;
            }
            if (nameless(member) && member instanceof GroupLayout group) {
                if (group instanceof UnionLayout union) {
                    into.put(first(union).name().orElse("union"), read(memory, offset, first(union), into, ""));
                } else {
                    end = Math.max(end, readFields(memory, offset, group, into, last));
                }
            } else if (member instanceof SequenceLayout array && array.elementCount() == 0) {
                if (last) {
                    long count = (memory.byteSize() - offset) / array.elementLayout().byteSize();
                    into.put(name(member), readArray(memory, offset, array.elementLayout(), count));
                    end = offset + count * array.elementLayout().byteSize();
                }
            } else if (!(member instanceof PaddingLayout) && member.byteSize() > 0) {
                into.put(name(member), read(memory, offset, member, into, layout.name().orElse("")));
            }
            offset += member.byteSize();
        }
        return end;
    }

    private static String name(MemoryLayout member) {
        return member.name().orElse("");
    }

    private static @Nullable Object read(
            MemorySegment memory, long offset, MemoryLayout layout, Map<String, @Nullable Object> siblings, String owner) {
        return switch (layout) {
            case ValueLayout word -> Values.number(word(memory, offset, word.byteSize()));
            case UnionLayout union -> readUnion(memory, offset, union, siblings, owner);
            case GroupLayout struct -> {
                Map<String, @Nullable Object> tree = new LinkedHashMap<>();
                readFields(memory, offset, struct, tree, false);
                yield tree;
            }
            case SequenceLayout array -> readArray(memory, offset, array.elementLayout(), array.elementCount());
            case PaddingLayout _ -> null;
        };
    }

    private static Object readUnion(
            MemorySegment memory, long offset, UnionLayout union, Map<String, @Nullable Object> siblings, String owner) {
        String chosen = UnionMembers.choose(owner, name(union), siblings);
        for (MemoryLayout member : union.memberLayouts()) {
            if (chosen != null && name(member).equals(chosen)) {
                Map<String, @Nullable Object> tree = new LinkedHashMap<>();
                tree.put(chosen, read(memory, offset, member, siblings, ""));
                return tree;
            }
        }
        return Values.trimmed(memory.asSlice(offset, union.byteSize()).toArray(JAVA_BYTE));
    }

    private static Object readArray(MemorySegment memory, long offset, MemoryLayout element, long count) {
        long size = element.byteSize();
        if (size == 1) {
            return Values.trimmed(memory.asSlice(offset, count).toArray(JAVA_BYTE));
        }
        long used = count;
        while (used > 0 && isZero(memory, offset + (used - 1) * size, size)) {
            used--;
        }
        List<@Nullable Object> items = new ArrayList<>((int) used);
        for (long i = 0; i < used; i++) {
            items.add(read(memory, offset + i * size, element, Map.of(), ""));
        }
        return items;
    }

    private static boolean isZero(MemorySegment memory, long offset, long size) {
        for (long i = 0; i < size; i++) {
            if (memory.get(JAVA_BYTE, offset + i) != 0) {
                return false;
            }
        }
        return true;
    }

    private static long word(MemorySegment memory, long offset, long size) {
        return switch ((int) size) {
            case 1 -> Byte.toUnsignedLong(memory.get(JAVA_BYTE, offset));
            case 2 -> Short.toUnsignedLong(memory.get(JAVA_SHORT_UNALIGNED, offset));
            case 4 -> Integer.toUnsignedLong(memory.get(JAVA_INT_UNALIGNED, offset));
            default -> memory.get(JAVA_LONG_UNALIGNED, offset);
        };
    }

    private static long writeFields(
            MemorySegment memory, long base, GroupLayout layout, Map<String, @Nullable Object> left, boolean last) {
        long offset = base;
        long end = Math.min(base + layout.byteSize(), memory.byteSize());
        for (MemoryLayout member : layout.memberLayouts()) {
            if (offset + member.byteSize() > memory.byteSize()) {
                return offset;
            }
            if (nameless(member) && member instanceof GroupLayout group) {
                if (group instanceof UnionLayout union) {
                    String name = first(union).name().orElse("union");
                    write(left.remove(name), name, memory, offset, first(union));
                } else {
                    end = Math.max(end, writeFields(memory, offset, group, left, last));
                }
            } else if (member instanceof SequenceLayout array && array.elementCount() == 0) {
                if (last) {
                    long count = (memory.byteSize() - offset) / array.elementLayout().byteSize();
                    String name = name(member);
                    writeArray(left.remove(name), name, memory, offset, array.elementLayout(), count);
                    end = offset + count * array.elementLayout().byteSize();
                }
            } else if (!(member instanceof PaddingLayout) && member.byteSize() > 0) {
                write(left.remove(name(member)), name(member), memory, offset, member);
            }
            offset += member.byteSize();
        }
        return end;
    }

    private static void write(
            @Nullable Object value, String name, MemorySegment memory, long offset, MemoryLayout layout) {
        switch (layout) {
            case ValueLayout word -> setWord(Values.number(value, name), memory, offset, word.byteSize());
            case UnionLayout union -> writeUnion(value, name, memory, offset, union);
            case GroupLayout struct -> {
                Map<String, @Nullable Object> left = new LinkedHashMap<>(Values.map(value, name));
                writeFields(memory, offset, struct, left, false);
                if (!left.isEmpty()) {
                    throw new BadInputException(
                            "there is no field '" + left.keySet().iterator().next() + "' in " + name);
                }
            }
            case SequenceLayout array ->
                writeArray(value, name, memory, offset, array.elementLayout(), array.elementCount());
            case PaddingLayout _ -> {}
        }
    }

    private static void writeUnion(
            @Nullable Object value, String name, MemorySegment memory, long offset, UnionLayout union) {
        if (value instanceof Map<?, ?> map && map.size() == 1) {
            Map.Entry<?, ?> only = map.entrySet().iterator().next();
            for (MemoryLayout member : union.memberLayouts()) {
                if (name(member).equals(only.getKey())) {
                    write(only.getValue(), name(member), memory, offset, member);
                    return;
                }
            }
        }
        writeBytes(Values.bytes(value, name), memory.asSlice(offset, union.byteSize()), name);
    }

    private static void writeArray(
            @Nullable Object value, String name, MemorySegment memory, long offset, MemoryLayout element, long count) {
        long size = element.byteSize();
        if (size == 1) {
            writeBytes(Values.bytes(value, name), memory.asSlice(offset, count), name);
            return;
        }
        List<?> items = Values.list(value, name);
        if (items.size() > count) {
            throw new BadInputException("'" + name + "' has " + items.size() + " elements, there is room for " + count);
        }
        for (int i = 0; i < items.size(); i++) {
            write(items.get(i), name, memory, offset + i * size, element);
        }
    }

    private static void writeBytes(byte[] bytes, MemorySegment memory, String name) {
        if (bytes.length > memory.byteSize()) {
            throw new BadInputException(
                    "'" + name + "' has " + bytes.length + " bytes, there is room for " + memory.byteSize());
        }
        MemorySegment.copy(bytes, 0, memory, JAVA_BYTE, 0, bytes.length);
    }

    private static void setWord(long value, MemorySegment memory, long offset, long size) {
        switch ((int) size) {
            case 1 -> memory.set(JAVA_BYTE, offset, (byte) value);
            case 2 -> memory.set(JAVA_SHORT_UNALIGNED, offset, (short) value);
            case 4 -> memory.set(JAVA_INT_UNALIGNED, offset, (int) value);
            default -> memory.set(JAVA_LONG_UNALIGNED, offset, value);
        }
    }
}
