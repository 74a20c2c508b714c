// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How numbers and bytes stand in a trace. A number that readers of JSON may round (2^53 and more) and an address are
 * hexadecimal text with 0x; bytes are hexadecimal text without, or, where all of them can be printed, {@code
 * {"text": "..."}}.
 */
final class Values {
    private static final long EXACT = 1L << 53;
    private static final HexFormat HEX = HexFormat.of();

    private Values() {}

    /** An unsigned 64-bit number. */
    static Object number(long value) {
        return value >= 0 && value < EXACT ? (Object) value : hex(value);
    }

    static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }

    /** The 64 bits of a number. */
    static long number(@Nullable Object value, String name) {
        if (value instanceof Long number) {
            return number;
        }
        if (value instanceof String text && text.startsWith("0x")) {
            try {
                return Long.parseUnsignedLong(text, 2, text.length(), 16);
            } catch (NumberFormatException _) {
                throw bad(name, value, "a number");
            }
        }
        throw bad(name, value, "a number");
    }

    static Object bytes(byte[] bytes) {
        boolean printable = bytes.length > 0;
        for (byte b : bytes) {
            printable &= (b >= ' ' && b <= '~') || b == '\n' || b == '\t' || b == '\r';
        }
        return printable ? Map.of("text", new String(bytes, StandardCharsets.US_ASCII)) : HEX.formatHex(bytes);
    }

    /** Bytes without the zeros at their end. */
    static Object trimmed(byte[] bytes) {
        int length = bytes.length;
        while (length > 0 && bytes[length - 1] == 0) {
            length--;
        }
        return bytes(Arrays.copyOf(bytes, length));
    }

    static byte[] bytes(@Nullable Object value, String name) {
        if (value instanceof Map<?, ?> map && map.size() == 1 && map.get("text") instanceof String text) {
            return text.getBytes(StandardCharsets.ISO_8859_1);
        }
        if (value instanceof String digits) {
            try {
                return HEX.parseHex(digits);
            } catch (IllegalArgumentException _) {
                throw bad(name, value, "bytes");
            }
        }
        throw bad(name, value, "bytes");
    }

    static String text(@Nullable Object value, String name) {
        if (value instanceof String text) {
            return text;
        }
        throw bad(name, value, "text");
    }

    @SuppressWarnings("unchecked") // trees are made by TreeJson and StructTree, with texts as keys
    static Map<String, @Nullable Object> map(@Nullable Object value, String name) {
        if (value instanceof Map<?, ?> map) {
            return (Map<String, @Nullable Object>) map;
        }
        throw bad(name, value, "an object");
    }

    static List<?> list(@Nullable Object value, String name) {
        if (value instanceof List<?> list) {
            return list;
        }
        throw bad(name, value, "an array");
    }

    /** Whether two values say the same, however they are written. */
    static boolean same(@Nullable Object a, @Nullable Object b) {
        if (isNumber(a) && isNumber(b)) {
            return number(a, "") == number(b, "");
        }
        return a == null ? b == null : a.equals(b);
    }

    static boolean isNumber(@Nullable Object value) {
        return value instanceof Long || (value instanceof String text && text.startsWith("0x"));
    }

    private static BadInputException bad(String name, @Nullable Object value, String wanted) {
        return new BadInputException(
                value == null ? "'" + name + "' is missing" : "'" + name + "' is not " + wanted + ": " + value);
    }
}
