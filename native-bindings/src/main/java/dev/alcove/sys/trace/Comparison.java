// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Compares values that are in the replay's names already. */
final class Comparison {
    /** Takes what differs. */
    @FunctionalInterface
    interface Sink {
        void differs(String field, String recorded, String replayed);
    }

    private Comparison() {}

    /** An answer as a person reads it: a number, or the name of an errno with its meaning. */
    static String answer(long answer) {
        return Linux.isError(answer) ? Errno.name(answer) + " (" + Errno.message(answer) + ")" : Long.toString(answer);
    }

    /** Walks two trees; an element that one array does not have is zero there. */
    static void trees(String path, @Nullable Object recorded, @Nullable Object replayed, Sink sink) {
        if (isStruct(recorded) || isStruct(replayed)) {
            Map<String, @Nullable Object> left = struct(recorded, path);
            Map<String, @Nullable Object> right = struct(replayed, path);
            Set<String> names = new LinkedHashSet<>(left.keySet());
            names.addAll(right.keySet());
            for (String name : names) {
                trees(path.isEmpty() ? name : path + "." + name, left.get(name), right.get(name), sink);
            }
        } else if (recorded instanceof List<?> || replayed instanceof List<?>) {
            List<?> left = recorded instanceof List<?> list ? list : List.of();
            List<?> right = replayed instanceof List<?> list ? list : List.of();
            for (int i = 0; i < Math.max(left.size(), right.size()); i++) {
                trees(path + "[" + i + "]", i < left.size() ? left.get(i) : null, i < right.size() ? right.get(i) : null, sink);
            }
        } else if (!Values.same(zeroIfAbsent(recorded, replayed), zeroIfAbsent(replayed, recorded))) {
            sink.differs(path, show(recorded), show(replayed));
        }
    }

    private static boolean isStruct(@Nullable Object value) {
        return value instanceof Map<?, ?> map && !map.containsKey("text");
    }

    private static Map<String, @Nullable Object> struct(@Nullable Object value, String path) {
        return isStruct(value) ? Values.map(value, path) : Map.of();
    }

    /** What a value is that its array does not have. */
    private static @Nullable Object zeroIfAbsent(@Nullable Object value, @Nullable Object other) {
        return value != null ? value : Values.isNumber(other) ? (Object) 0L : other instanceof String ? "" : null;
    }

    private static String show(@Nullable Object value) {
        return switch (value) {
            case null -> "0";
            case Map<?, ?> map when map.get("text") instanceof String text ->
                '"' + text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"';
            default -> value.toString();
        };
    }
}
