// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What the kernel answered: named values in order, {@code answer} first (a value or a negated errno), then outputs,
 * exits, and words or hashes of memory. Never a descriptor, an address or a time.
 */
public record Answer(Map<String, Long> values) {
    /** The name of the first value. */
    public static final String ANSWER = "answer";

    public Answer {
        values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
    }

    /** The value {@link #ANSWER}; 0 where there is none. */
    public long answer() {
        return values.getOrDefault(ANSWER, 0L);
    }

    /** A plain answer of a call. */
    public static Answer of(long answer) {
        return new Answer(Map.of(ANSWER, answer));
    }

    /** The answer of a call that makes a file: 0 stands for the descriptor. */
    public static Answer ofFile(long fd) {
        return of(Math.min(fd, 0));
    }

    /** Builds an answer with outputs. */
    public static Builder with(long answer) {
        return new Builder().and(ANSWER, answer);
    }

    /** Collects values in order. */
    public static final class Builder {
        private final Map<String, Long> values = new LinkedHashMap<>();

        private Builder() {}

        public Builder and(String name, long value) {
            values.put(name, value);
            return this;
        }

        public Answer build() {
            return new Answer(values);
        }
    }
}
