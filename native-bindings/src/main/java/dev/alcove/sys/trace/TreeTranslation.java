// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Recorded values as the replay has them, by their roles.
 *
 * @param fd the recorded descriptor that the call is about, for the numbers of objects
 */
record TreeTranslation(Translation names, FieldRules rules, int fd) {
    /** One value. */
    Object value(Role role, Object recorded, String name) {
        return switch (role) {
            case DESCRIPTOR -> unsigned(names.descriptor((int) Values.number(recorded, name)));
            case OBJECT -> unsigned(names.object(fd, (int) Values.number(recorded, name)));
            case PROCESS, THREAD -> unsigned(names.task((int) Values.number(recorded, name)));
            case ADDRESS -> Values.hex(names.address(Values.number(recorded, name)));
            case PATH -> names.path(Values.text(recorded, name));
            case DESCRIPTORS -> descriptors(Values.bytes(recorded, name));
            case PLAIN, MACHINE, DEVICE, GUEST -> recorded;
        };
    }

    private static Object unsigned(int value) {
        return Integer.toUnsignedLong(value);
    }

    private Object descriptors(byte[] recorded) {
        ByteBuffer numbers = ByteBuffer.wrap(Arrays.copyOf(recorded, (recorded.length + 3) & ~3))
                .order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at < numbers.capacity(); at += Integer.BYTES) {
            int fd = numbers.getInt(at);
            numbers.putInt(at, fd < 0 ? fd : names.descriptor(fd));
        }
        return Values.trimmed(numbers.array());
    }

    /** All fields of a struct. */
    Map<String, @Nullable Object> struct(String call, Map<String, @Nullable Object> recorded) {
        return fields(call, "", recorded, recorded);
    }

    private Map<String, @Nullable Object> fields(
            String call, String prefix, Map<String, @Nullable Object> recorded, Map<String, @Nullable Object> struct) {
        Map<String, @Nullable Object> translated = new LinkedHashMap<>();
        recorded.forEach((name, value) -> translated.put(name, tree(call, prefix + name, value, struct)));
        return translated;
    }

    /** A part of a struct. */
    @Nullable Object tree(
            String call, String path, @Nullable Object recorded, Map<String, @Nullable Object> struct) {
        Role role = rules.field(call, path, struct).role();
        return switch (recorded) {
            case null -> null;
            case List<?> items -> {
                List<@Nullable Object> translated = new ArrayList<>(items.size());
                for (Object item : items) {
                    translated.add(tree(call, path, item, struct));
                }
                yield translated;
            }
            case Map<?, ?> map when !map.containsKey("text") || role != Role.DESCRIPTORS ->
                fields(call, path + ".", Values.map(map, path), struct);
            default -> role.translated() ? value(role, recorded, path) : recorded;
        };
    }
}
