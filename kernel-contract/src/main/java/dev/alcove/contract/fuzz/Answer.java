// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the kernel answered: named values in order, {@code answer} first (a value or a negated errno), then outputs,
 * exits, and words or hashes of memory. Never a descriptor, an address or a time.
 */
public final class Answer {
    /** The name of the first value. */
    public static final String ANSWER = "answer";

    private final String[] names;
    private final long[] values;

    private Answer(String[] names, long[] values) {
        this.names = names;
        this.values = values;
    }

    /** An answer with these values, in the map's order. */
    public static Answer of(Map<String, Long> values) {
        Builder builder = new Builder();
        values.forEach(builder::and);
        return builder.build();
    }

    /** A plain answer of a call. */
    public static Answer of(long answer) {
        return new Answer(new String[] {ANSWER}, new long[] {answer});
    }

    /** The answer of a call that makes a file: 0 stands for the descriptor. */
    public static Answer ofFile(long fd) {
        return of(Math.min(fd, 0));
    }

    /** Builds an answer with outputs. */
    public static Builder with(long answer) {
        return new Builder().and(ANSWER, answer);
    }

    /** The value {@link #ANSWER}; 0 where there is none. */
    public long answer() {
        return value(ANSWER);
    }

    /** A value by its name; 0 where there is none. */
    public long value(String name) {
        int index = Builder.index(names, names.length, name);
        return index < 0 ? 0 : values[index];
    }

    /** How many values there are. */
    int size() {
        return names.length;
    }

    /** The name of the value at a place in the order. */
    String name(int index) {
        return names[index];
    }

    /** The value at a place in the order. */
    long value(int index) {
        return values[index];
    }

    /** All of it, in order. */
    public Map<String, Long> values() {
        Map<String, Long> map = new LinkedHashMap<>();
        for (int i = 0; i < names.length; i++) {
            map.put(names[i], values[i]);
        }
        return Collections.unmodifiableMap(map);
    }

    @Override
    public boolean equals(@Nullable Object object) {
        return object instanceof Answer other
                && Arrays.equals(names, other.names)
                && Arrays.equals(values, other.values);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(names) + Arrays.hashCode(values);
    }

    @Override
    public String toString() {
        return values().toString();
    }

    /** Collects values in order. */
    public static final class Builder {
        private static final int FEW = 8;

        private String[] names = new String[FEW];
        private long[] values = new long[FEW];
        private int count;

        private Builder() {}

        /** Adds a value, or puts it in the place of the one that had the name. */
        public Builder and(String name, long value) {
            int index = index(names, count, name);
            if (index < 0) {
                if (count == names.length) {
                    names = Arrays.copyOf(names, 2 * count);
                    values = Arrays.copyOf(values, 2 * count);
                }
                index = count++;
                names[index] = name;
            }
            values[index] = value;
            return this;
        }

        private static int index(String[] names, int count, String name) {
            for (int i = 0; i < count; i++) {
                if (names[i].equals(name)) {
                    return i;
                }
            }
            return -1;
        }

        public Answer build() {
            return new Answer(Arrays.copyOf(names, count), Arrays.copyOf(values, count));
        }
    }
}
