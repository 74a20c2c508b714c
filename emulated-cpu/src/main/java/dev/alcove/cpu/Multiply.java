// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Multiplication and division with double-width operands in RDX:RAX. */
final class Multiply {
    private Multiply() {}

    static void multiply(long[] r, Flags f, long b, int size, boolean signed) {
        long low;
        boolean overflow;
        if (size == 8) {
            long a = r[0];
            low = a * b;
            long high = signed ? Math.multiplyHigh(a, b) : Math.unsignedMultiplyHigh(a, b);
            r[0] = low;
            r[2] = high;
            overflow = high != (signed ? low >> 63 : 0);
        } else {
            int bits = size * 8;
            long product = signed
                    ? Alu.extend(r[0], size) * Alu.extend(b, size)
                    : (r[0] & Alu.mask(size)) * (b & Alu.mask(size));
            low = Alu.extend(product, size);
            overflow = signed ? product != low : product >>> bits != 0;
            if (size == 1) {
                ColdOps.write(r, 0, 2, product);
            } else {
                ColdOps.write(r, 0, size, product);
                ColdOps.write(r, 2, size, product >> bits);
            }
        }
        f.result(low, overflow ? Flags.CF | Flags.OF : 0);
    }

    /** False for a divide error; nothing has changed then. */
    static boolean divide(long[] r, long divisor, int size, boolean signed) {
        if (size == 8) {
            return signed ? divide128Signed(r, divisor) : divide128(r, divisor);
        }
        long b = signed ? Alu.extend(divisor, size) : divisor & Alu.mask(size);
        if (b == 0) {
            return false;
        }
        int bits = size * 8;
        long a = size == 1
                ? r[0] & 0xffff
                : (r[0] & Alu.mask(size)) | (r[2] & Alu.mask(size)) << bits;
        long q;
        long m;
        if (signed) {
            long s = Alu.extend(a, size * 2);
            if (s == Long.MIN_VALUE && b == -1) {
                return false;
            }
            q = s / b;
            m = s % b;
            if (q != Alu.extend(q, size)) {
                return false;
            }
        } else {
            q = Long.divideUnsigned(a, b);
            m = Long.remainderUnsigned(a, b);
            if (q != (q & Alu.mask(size))) {
                return false;
            }
        }
        if (size == 1) {
            ColdOps.write(r, 0, 2, (q & 0xff) | (m & 0xff) << 8);
        } else {
            ColdOps.write(r, 0, size, q);
            ColdOps.write(r, 2, size, m);
        }
        return true;
    }

    private static boolean divide128(long[] r, long b) {
        if (Long.compareUnsigned(r[2], b) >= 0) {
            return false;
        }
        return divideMagnitude(r, r[2], r[0], b);
    }

    /** Divides a 128-bit number whose upper half is below the divisor. */
    static boolean divideMagnitude(long[] r, long high, long low, long b) {
        if (high == 0) {
            r[0] = Long.divideUnsigned(low, b);
            r[2] = Long.remainderUnsigned(low, b);
            return true;
        }
        // Long division in base 2^32 with a normalised divisor (Knuth, volume 2, 4.3.1, algorithm D).
        int shift = Long.numberOfLeadingZeros(b);
        long v = b << shift;
        long u1 = shift == 0 ? high : high << shift | low >>> (64 - shift);
        long u0 = low << shift;
        long vHigh = v >>> 32;
        long vLow = v & 0xffffffffL;
        long q1 = digit(u1, u0 >>> 32, vHigh, vLow);
        long rest = (u1 << 32 | u0 >>> 32) - q1 * v;
        long q0 = digit(rest, u0 & 0xffffffffL, vHigh, vLow);
        long remainder = (rest << 32 | (u0 & 0xffffffffL)) - q0 * v;
        r[0] = q1 << 32 | q0;
        r[2] = remainder >>> shift;
        return true;
    }

    /** One digit of the quotient: (u * 2^32 + next) / v, with u below v. */
    private static long digit(long u, long next, long vHigh, long vLow) {
        long q = Long.divideUnsigned(u, vHigh);
        long rest = u - q * vHigh;
        while (q >>> 32 != 0 || Long.compareUnsigned(q * vLow, rest << 32 | next) > 0) {
            q--;
            rest += vHigh;
            if (rest >>> 32 != 0) {
                break;
            }
        }
        return q;
    }

    private static boolean divide128Signed(long[] r, long b) {
        long high = r[2];
        long low = r[0];
        boolean negative = high < 0;
        if (negative) {
            low = -low;
            high = ~high + (low == 0 ? 1 : 0);
        }
        long magnitude = Math.abs(b); // 2^63 stays what it is as an unsigned number
        if (b == 0 || Long.compareUnsigned(high, magnitude) >= 0) {
            return false;
        }
        long savedLow = r[0];
        long savedHigh = r[2];
        divideMagnitude(r, high, low, magnitude);
        boolean negativeQuotient = negative != b < 0;
        long q = negativeQuotient ? -r[0] : r[0];
        if (q != 0 && q < 0 != negativeQuotient) {
            r[0] = savedLow;
            r[2] = savedHigh;
            return false;
        }
        r[0] = q;
        r[2] = negative ? -r[2] : r[2];
        return true;
    }
}
