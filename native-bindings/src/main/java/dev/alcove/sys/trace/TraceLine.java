// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One call of a trace. What is missing or of the wrong kind is a {@link BadInputException}.
 *
 * @param number of the line, from 1
 */
record TraceLine(long number, Map<String, @Nullable Object> tree) {
    @Nullable Object get(String name) {
        return tree.get(name);
    }

    long number(String name) {
        return Values.number(tree.get(name), name);
    }

    String text(String name) {
        return Values.text(tree.get(name), name);
    }

    /** The call. */
    Call call() {
        String name = text("call");
        Call call = Call.named(name);
        if (call == null) {
            throw new BadInputException("unknown call '" + name + "'");
        }
        return call == Call.IOCTL && get("arg") instanceof Long ? Call.IOCTL_VALUE : call;
    }

    /** The answer: a value or a negated errno. */
    long answer() {
        return number("answer");
    }

    /** What the call gave out, by field. */
    Map<String, @Nullable Object> out() {
        Object out = tree.get("out");
        return out == null ? Map.of() : Values.map(out, "out");
    }

    /** The ioctl's argument as the call left it. */
    Map<String, @Nullable Object> argumentAfter(Map<String, @Nullable Object> before) {
        Map<String, @Nullable Object> after = new LinkedHashMap<>(before);
        after.putAll(out());
        return after;
    }

    /** The file that the call is about, as far as the recording knew; empty when not. */
    String file() {
        return tree.get("file") instanceof String name ? name : "";
    }
}
