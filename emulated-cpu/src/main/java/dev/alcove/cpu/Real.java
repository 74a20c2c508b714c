// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * A floating-point number taken apart: {@code significand * 2^(exponent - 63)}. The significand of a finite number that
 * is not zero has its top bit set, unless a rounding has made it a denormal of its format.
 */
final class Real {
    static final int ZERO = 0;
    static final int FINITE = 1;
    static final int INFINITE = 2;

    /** The significand is that of the 80-bit format: integer bit, quiet bit, payload. */
    static final int NAN = 3;

    /** A bit pattern of the 80-bit format that is no number. */
    static final int UNSUPPORTED = 4;

    static final long TOP = 1L << 63;
    static final long QUIET = 1L << 62;

    int kind;
    boolean negative;
    int exponent;
    long significand;

    /** It was a denormal in its format. */
    boolean denormal;

    boolean signals() {
        return kind == NAN && (significand & QUIET) == 0;
    }

    void zero(boolean sign) {
        kind = ZERO;
        negative = sign;
        significand = 0;
        denormal = false;
    }

    void infinite(boolean sign) {
        kind = INFINITE;
        negative = sign;
        significand = TOP;
        denormal = false;
    }

    /** The default NaN: what an invalid operation gives. */
    void indefinite() {
        nan(true, TOP | QUIET);
    }

    void nan(boolean sign, long bits) {
        kind = NAN;
        negative = sign;
        significand = bits;
        denormal = false;
    }

    void set(Real other) {
        kind = other.kind;
        negative = other.negative;
        exponent = other.exponent;
        significand = other.significand;
        denormal = other.denormal;
    }

    /** A whole number; exact. */
    void integer(long v) {
        denormal = false;
        if (v == 0) {
            zero(false);
            return;
        }
        kind = FINITE;
        negative = v < 0;
        long m = Math.abs(v);
        int shift = Long.numberOfLeadingZeros(m);
        significand = m << shift;
        exponent = 63 - shift;
    }

    /** Takes a number apart whose format has {@code fraction} bits of fraction and {@code width} of exponent. */
    private void unpack(long bits, int fraction, int width, boolean denormalsAreZero) {
        negative = (bits >>> (fraction + width) & 1) != 0;
        int e = (int) (bits >>> fraction) & (1 << width) - 1;
        long f = bits << (63 - fraction) & Long.MAX_VALUE;
        int bias = (1 << (width - 1)) - 1;
        denormal = false;
        if (e == (1 << width) - 1) {
            kind = f == 0 ? INFINITE : NAN;
            significand = TOP | f;
        } else if (e != 0) {
            kind = FINITE;
            significand = TOP | f;
            exponent = e - bias;
        } else if (f == 0 || denormalsAreZero) {
            kind = ZERO;
            significand = 0;
        } else {
            kind = FINITE;
            denormal = true;
            int shift = Long.numberOfLeadingZeros(f);
            significand = f << shift;
            exponent = 1 - bias - shift;
        }
    }

    void unpackFloat(int bits, boolean denormalsAreZero) {
        unpack(bits & 0xffffffffL, 23, 8, denormalsAreZero);
    }

    void unpackDouble(long bits, boolean denormalsAreZero) {
        unpack(bits, 52, 11, denormalsAreZero);
    }

    /** The 80-bit format. */
    void unpackExtended(long bits, int signAndExponent) {
        negative = (signAndExponent & 0x8000) != 0;
        int e = signAndExponent & 0x7fff;
        significand = bits;
        denormal = false;
        if (e == 0) {
            kind = bits == 0 ? ZERO : FINITE;
            denormal = bits != 0;
            int shift = Long.numberOfLeadingZeros(bits);
            significand = bits << shift;
            exponent = -16382 - shift;
        } else if (bits >= 0) {
            kind = UNSUPPORTED;
        } else if (e == 0x7fff) {
            kind = bits << 1 == 0 ? INFINITE : NAN;
        } else {
            kind = FINITE;
            exponent = e - 16383;
        }
    }

    /** Puts a number together that has been rounded to the format. */
    private long pack(int fraction, int width) {
        long sign = negative ? 1L << (fraction + width) : 0;
        long top = (1L << width) - 1;
        long f = (significand & Long.MAX_VALUE) >>> (63 - fraction);
        return sign
                | switch (kind) {
                    case ZERO -> 0;
                    case INFINITE -> top << fraction;
                    case NAN -> top << fraction | f;
                    default -> significand >= 0 ? f : (long) (exponent + (1 << (width - 1)) - 1) << fraction | f;
                };
    }

    int packFloat() {
        return (int) pack(23, 8);
    }

    long packDouble() {
        return pack(52, 11);
    }

    /** Sign and exponent of the 80-bit format; {@link #significand} is the rest. */
    int packExtended() {
        int sign = negative ? 0x8000 : 0;
        return sign
                | switch (kind) {
                    case ZERO -> 0;
                    case FINITE -> significand >= 0 ? 0 : exponent + 16383;
                    default -> 0x7fff;
                };
    }
}
