// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Compares values that are in the replay's names already, as far as they are to be compared.
 *
 * @param sameDevices whether matters of the device count
 * @param guestSame whether matters of the guest count
 */
record Comparison(FieldRules rules, boolean sameDevices, boolean guestSame) {
    /** Takes what differs. */
    @FunctionalInterface
    interface Sink {
        void differs(String field, String recorded, String replayed);
    }

    /** An answer as a person reads it: a number, or the name of an errno with its meaning. */
    static String answer(long answer) {
        return Linux.isError(answer) ? Errno.name(answer) + " (" + Errno.message(answer) + ")" : Long.toString(answer);
    }

    /** Whether two kernels must agree on a value. */
    boolean counts(Role role) {
        return switch (role) {
            case MACHINE -> false;
            case DEVICE -> sameDevices;
            case GUEST -> guestSame;
            default -> true;
        };
    }

    /**
     * Compares a part of a struct.
     *
     * @param call whose rules hold
     * @param path of the part
     * @param struct the whole argument as recorded
     */
    void fields(
            String call,
            String path,
            @Nullable Object recorded,
            @Nullable Object replayed,
            Map<String, @Nullable Object> struct,
            Sink sink) {
        trees(path, visible(call, path, recorded, struct), visible(call, path, replayed, struct), sink);
    }

    /** A tree without what does not count. */
    private @Nullable Object visible(
            String call, String path, @Nullable Object tree, Map<String, @Nullable Object> struct) {
        FieldRules.Rule rule = rules.field(call, path, struct);
        if (isStruct(tree)) {
            Map<String, @Nullable Object> parts = new LinkedHashMap<>();
            struct(tree, path).forEach((name, value) -> parts.put(name, visible(call, path + "." + name, value, struct)));
            return parts;
        }
        if (!counts(rule.role())) {
            return null;
        }
        if (tree instanceof List<?> items) {
            List<@Nullable Object> parts = new ArrayList<>(items.size());
            items.forEach(item -> parts.add(visible(call, path, item, struct)));
            return parts;
        }
        return rule.ignored() != 0 && Values.isNumber(tree)
                ? Values.number(Values.number(tree, path) & ~rule.ignored())
                : tree;
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
