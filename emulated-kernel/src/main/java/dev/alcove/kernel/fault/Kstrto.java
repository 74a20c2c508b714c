// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.fault;

import dev.alcove.sys.Errno;
import java.math.BigInteger;
import org.jspecify.annotations.Nullable;

/**
 * A number as the kernel's files take it ({@code kstrtoull} and its like): base by prefix, one newline at the end.
 *
 * @param value in two's complement
 * @param errno 0, {@code EINVAL} for what is no number, or {@code ERANGE}
 */
record Kstrto(long value, int errno) {
    private static final int ERANGE = 34;

    /** An unsigned number of up to {@code bits}. */
    static Kstrto unsigned(String text, int bits) {
        BigInteger number = parse(text, false);
        return number == null ? new Kstrto(0, Errno.EINVAL)
                : number.bitLength() > bits ? new Kstrto(0, ERANGE)
                : new Kstrto(number.longValue(), 0);
    }

    /** A signed number of up to {@code bits}. */
    static Kstrto signed(String text, int bits) {
        BigInteger number = parse(text, true);
        return number == null ? new Kstrto(0, Errno.EINVAL)
                : number.bitLength() >= bits ? new Kstrto(0, ERANGE)
                : new Kstrto(number.longValue(), 0);
    }

    private static @Nullable BigInteger parse(String text, boolean signed) {
        int terminator = text.indexOf('\0');
        String rest = terminator < 0 ? text : text.substring(0, terminator);
        if (rest.endsWith("\n")) {
            rest = rest.substring(0, rest.length() - 1);
        }
        boolean negative = signed && rest.startsWith("-");
        if (negative || rest.startsWith("+")) {
            rest = rest.substring(1);
        }
        int radix = 10;
        if (rest.length() > 2 && (rest.startsWith("0x") || rest.startsWith("0X"))) {
            radix = 16;
            rest = rest.substring(2);
        } else if (rest.startsWith("0")) {
            radix = 8;
        }
        for (int i = 0; i < rest.length(); i++) {
            char c = rest.charAt(i);
            if (c > 'f' || Character.digit(c, radix) < 0) {
                return null;
            }
        }
        if (rest.isEmpty()) {
            return null;
        }
        BigInteger number = new BigInteger(rest, radix);
        return negative ? number.negate() : number;
    }
}
