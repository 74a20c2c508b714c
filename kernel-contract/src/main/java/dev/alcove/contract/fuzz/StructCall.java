// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * An ioctl whose argument is a struct that starts with its own size.
 *
 * @param name of the op
 * @param size bytes of the struct as a current kernel knows it
 * @param inputs the fields that an op has operands for
 * @param buffered whether a field is a {@link Kind#BUFFER}
 * @param words of 64 bits in the scratch buffer, each an operand behind those of the fields
 */
record StructCall(String name, int request, int size, List<Field> fields, List<Field> inputs, boolean buffered, int words) {
    /** The operands that every such op has in front of those of its fields. */
    static final int COMMON = 4;

    /** What the value of a field is. */
    enum Kind {
        /** A number; given as it is, and answered as it has become. */
        VALUE,
        /** A number that only the kernel writes. */
        OUT,
        /** A symbol of {@link UserPages}. */
        USER,
        /** A symbol of {@link Descriptors}. */
        FILE,
        /** A pointer to the scratch buffer of {@link StructCaller}. */
        BUFFER,
        /** A descriptor that the kernel makes; the operand is the symbol that it gets. */
        NEW_FILE
    }

    /** @param width in bytes: 2, 4 or 8 */
    record Field(String name, int offset, int width, Kind kind) {}

    static StructCall of(String name, int request, int size, Field... fields) {
        List<Field> all = List.of(fields);
        List<Field> inputs = all.stream().filter(field -> field.kind() != Kind.OUT).toList();
        boolean buffered = all.stream().anyMatch(field -> field.kind() == Kind.BUFFER);
        return new StructCall(name, request, size, all, inputs, buffered, 0);
    }

    /** The call with words in its scratch buffer. */
    StructCall withWords(int count) {
        return new StructCall(name, request, size, fields, inputs, buffered, count);
    }

    static Field word(String name, int offset) {
        return new Field(name, offset, 4, Kind.VALUE);
    }

    static Field quad(String name, int offset) {
        return new Field(name, offset, 8, Kind.VALUE);
    }

    static Field field(String name, int offset, int width, Kind kind) {
        return new Field(name, offset, width, kind);
    }

    /** Names of the operands. */
    List<String> operandNames() {
        List<String> names = new ArrayList<>(List.of("@file", "size", "tail", "place"));
        inputs.forEach(field -> names.add((field.kind() == Kind.FILE || field.kind() == Kind.NEW_FILE ? "@" : "") + field.name()));
        IntStream.range(0, words).forEach(i -> names.add("word" + i));
        return names;
    }

    /**
     * An op with the struct as it should be.
     *
     * @param values of the input fields, then words of the scratch buffer
     */
    Op op(long file, long... values) {
        return sized(file, size, 0, 0, values);
    }

    /**
     * An op with a struct of any size, anywhere.
     *
     * @param tail 0, or which byte behind the known ones is not zero, from 1
     * @param place 0 in good memory; n above 0: n bytes before memory that cannot be touched; below 0: a wild address
     */
    Op sized(long file, long size, long tail, long place, long... values) {
        List<Long> operands = new ArrayList<>(List.of(file, size, tail, place));
        for (long value : values) {
            operands.add(value);
        }
        return new Op(name, operands);
    }
}
