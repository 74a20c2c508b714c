// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Arithmetic on {@link Real}s with all rounding modes and exceptions of IEEE 754 as x86 has them (Intel SDM volume 1,
 * 4.9 and 11.5): tininess is detected after rounding. One object per user, as the environment and the exceptions that
 * were raised are in it.
 */
final class SoftFloat {
    static final int IE = 1;
    static final int DE = 2;
    static final int ZE = 4;
    static final int OE = 8;
    static final int UE = 16;
    static final int PE = 32;

    static final int NEAREST = 0;
    static final int DOWN = 1;
    static final int UP = 2;
    static final int TRUNCATE = 3;

    /** Precision in bits, smallest and greatest exponent. */
    record Format(int precision, int least, int most) {}

    static final Format FLOAT = new Format(24, -126, 127);
    static final Format DOUBLE = new Format(53, -1022, 1023);
    static final Format EXTENDED = new Format(64, -16382, 16383);

    /** The 80-bit format with the precision control of the x87 FPU at 24 and 53 bits. */
    static final Format EXTENDED_24 = new Format(24, -16382, 16383);

    static final Format EXTENDED_53 = new Format(53, -16382, 16383);

    /** The difference between the exponents of a result that is out of range and what an unmasked exception leaves. */
    private static final int WRAP = 24576;

    int rounding;

    /** Exceptions that are masked. */
    int masks = 0x3f;

    boolean flushToZero;

    /** Whether the x87 FPU says which of two NaNs wins. */
    boolean x87;

    /** Exceptions raised since it was cleared. */
    int raised;

    /** Whether the last rounding has made the magnitude greater. */
    boolean roundedUp;

    private final long[] quotient = new long[3];

    /** Whether one of the operands is a NaN or no number at all; {@code z} is the result then. */
    boolean nan(Real a, Real b, Real z) {
        if (a.kind < Real.NAN && b.kind < Real.NAN) {
            return false;
        }
        if (a.kind == Real.UNSUPPORTED || b.kind == Real.UNSUPPORTED) {
            invalid(z);
            return true;
        }
        if (a.signals() || b.signals()) {
            raised |= IE;
        }
        Real chosen;
        if (a.kind != Real.NAN) {
            chosen = b;
        } else if (b.kind != Real.NAN || !x87) {
            chosen = a;
        } else if (a.signals() != b.signals()) {
            chosen = a.signals() ? b : a;
        } else {
            int c = Long.compareUnsigned(a.significand, b.significand);
            chosen = c > 0 || (c == 0 && !a.negative) ? a : b;
        }
        z.nan(chosen.negative, chosen.significand | Real.QUIET);
        return true;
    }

    void invalid(Real z) {
        raised |= IE;
        z.indefinite();
    }

    void denormal(Real a, Real b) {
        if (a.denormal || b.denormal) {
            raised |= DE;
        }
    }

    void add(Real a, Real b, boolean subtract, Real z, Format f) {
        if (nan(a, b, z)) {
            return;
        }
        boolean sign = b.negative != subtract;
        if (a.kind == Real.INFINITE || b.kind == Real.INFINITE) {
            if (a.kind == b.kind && a.negative != sign) {
                invalid(z);
            } else {
                denormal(a, b);
                z.infinite(a.kind == Real.INFINITE ? a.negative : sign);
            }
            return;
        }
        denormal(a, b);
        if (a.kind == Real.ZERO && b.kind == Real.ZERO) {
            z.zero(a.negative == sign ? sign : rounding == DOWN);
        } else if (a.kind == Real.ZERO || b.kind == Real.ZERO) {
            boolean s = b.kind == Real.ZERO ? a.negative : sign;
            z.set(b.kind == Real.ZERO ? a : b);
            z.negative = s;
            round(z, 0, f);
        } else {
            boolean swap = a.exponent < b.exponent
                    || (a.exponent == b.exponent && Long.compareUnsigned(a.significand, b.significand) < 0);
            boolean first = a.negative;
            sum(swap ? b : a, swap ? sign : first, swap ? a : b, swap ? first : sign, z, f);
        }
    }

    /** The sum of two numbers of which the first has the greater magnitude, or the same. */
    private void sum(Real a, boolean aSign, Real b, boolean bSign, Real z, Format f) {
        int d = a.exponent - b.exponent;
        long high = d < 64 ? b.significand >>> d : 0;
        long low = 0;
        if (d >= 128) {
            low = 1;
        } else if (d >= 64) {
            low = b.significand >>> (d - 64);
            low |= low << (d - 64) == b.significand ? 0 : 1;
        } else if (d > 0) {
            low = b.significand << (64 - d);
        }
        int exponent = a.exponent;
        long significand;
        if (aSign == bSign) {
            significand = a.significand + high;
            if (Long.compareUnsigned(significand, high) < 0) {
                low = low >>> 1 | (low & 1) | significand << 63;
                significand = significand >>> 1 | Real.TOP;
                exponent++;
            }
        } else {
            significand = a.significand - high - (low != 0 ? 1 : 0);
            low = -low;
            if (significand == 0 && low == 0) {
                z.zero(rounding == DOWN);
                return;
            }
            if (significand == 0) {
                significand = low;
                low = 0;
                exponent -= 64;
            }
            int shift = Long.numberOfLeadingZeros(significand);
            if (shift != 0) {
                significand = significand << shift | low >>> (64 - shift);
                low <<= shift;
                exponent -= shift;
            }
        }
        finite(z, aSign, exponent, significand);
        round(z, low, f);
    }

    private static void finite(Real z, boolean sign, int exponent, long significand) {
        z.kind = Real.FINITE;
        z.negative = sign;
        z.exponent = exponent;
        z.significand = significand;
        z.denormal = false;
    }

    void multiply(Real a, Real b, Real z, Format f) {
        if (nan(a, b, z)) {
            return;
        }
        boolean sign = a.negative != b.negative;
        boolean infinite = a.kind == Real.INFINITE || b.kind == Real.INFINITE;
        boolean zero = a.kind == Real.ZERO || b.kind == Real.ZERO;
        if (infinite && zero) {
            invalid(z);
            return;
        }
        denormal(a, b);
        if (infinite) {
            z.infinite(sign);
        } else if (zero) {
            z.zero(sign);
        } else {
            long high = Math.unsignedMultiplyHigh(a.significand, b.significand);
            long low = a.significand * b.significand;
            int exponent = a.exponent + b.exponent + 1;
            if (high >= 0) {
                high = high << 1 | low >>> 63;
                low <<= 1;
                exponent--;
            }
            finite(z, sign, exponent, high);
            round(z, low, f);
        }
    }

    void divide(Real a, Real b, Real z, Format f) {
        if (nan(a, b, z)) {
            return;
        }
        boolean sign = a.negative != b.negative;
        if (a.kind == b.kind && a.kind != Real.FINITE) {
            invalid(z);
        } else if (a.kind == Real.INFINITE || b.kind == Real.INFINITE || a.kind == Real.ZERO) {
            denormal(a, b);
            if (a.kind == Real.INFINITE) {
                z.infinite(sign);
            } else {
                z.zero(sign);
            }
        } else if (b.kind == Real.ZERO) {
            raised |= ZE;
            z.infinite(sign);
        } else {
            denormal(a, b);
            boolean less = Long.compareUnsigned(a.significand, b.significand) < 0;
            long divisor = b.significand;
            long high = less ? a.significand : a.significand >>> 1;
            int exponent = a.exponent - b.exponent - (less ? 1 : 0);
            Multiply.divideMagnitude(quotient, high, less ? 0 : a.significand << 63, divisor);
            finite(z, sign, exponent, quotient[0]);
            round(z, rest(quotient[2], divisor), f);
        }
    }

    /** What follows a quotient: enough of its bits to round it. */
    private static long rest(long remainder, long divisor) {
        if (remainder == 0) {
            return 0;
        }
        int c = remainder < 0 ? 1 : Long.compareUnsigned(remainder << 1, divisor);
        return c < 0 ? 1 : c == 0 ? Real.TOP : Real.TOP | 1;
    }

    void squareRoot(Real a, Real z, Format f) {
        if (nan(a, a, z)) {
            return;
        }
        if (a.kind == Real.ZERO) {
            z.zero(a.negative);
        } else if (a.negative) {
            invalid(z);
        } else if (a.kind == Real.INFINITE) {
            z.infinite(false);
        } else {
            denormal(a, a);
            boolean odd = (a.exponent & 1) != 0;
            long high = odd ? a.significand : a.significand >>> 1;
            long low = odd ? 0 : a.significand << 63;
            int exponent = a.exponent >> 1;
            long root = root(high, low);
            long squareLow = root * root;
            long restHigh = high - Math.unsignedMultiplyHigh(root, root)
                    - (Long.compareUnsigned(low, squareLow) < 0 ? 1 : 0);
            long restLow = low - squareLow;
            boolean above = restHigh != 0 || Long.compareUnsigned(restLow, root) > 0;
            finite(z, false, exponent, root);
            round(z, above ? Real.TOP | 1 : restLow != 0 ? 1 : 0, f);
        }
    }

    /** The integer square root of a number of 127 or 128 bits. */
    private static long root(long high, long low) {
        long root = 0;
        for (long bit = Real.TOP; bit != 0; bit >>>= 1) {
            long t = root | bit;
            int c = Long.compareUnsigned(Math.unsignedMultiplyHigh(t, t), high);
            if (c < 0 || (c == 0 && Long.compareUnsigned(t * t, low) <= 0)) {
                root = t;
            }
        }
        return root;
    }

    /** Whether a magnitude grows that is followed by these bits, of which the first one is worth a half. */
    private boolean up(boolean negative, boolean odd, boolean half, boolean below) {
        return switch (rounding) {
            case NEAREST -> half && (below || odd);
            case DOWN -> negative && (half || below);
            case UP -> !negative && (half || below);
            default -> false;
        };
    }

    /**
     * Rounds to a format.
     *
     * @param z finite or, when nothing is to be done, anything else
     * @param rest the bits behind the significand; the last one stands for all further ones
     */
    void round(Real z, long rest, Format f) {
        roundedUp = false;
        if (z.kind != Real.FINITE) {
            return;
        }
        long bits = z.significand;
        long after = rest;
        int p = f.precision;
        if (z.exponent < f.least) {
            boolean tiny = z.exponent < f.least - 1 || !carries(z.negative, bits, after, p);
            if (tiny && (masks & UE) == 0) {
                raised |= UE;
                z.exponent += WRAP;
                roundAt(z, bits, after, p);
                if (z.exponent < EXTENDED.least) {
                    raised |= PE;
                    z.zero(z.negative);
                }
                return;
            }
            int shift = f.least - z.exponent;
            if (shift < 64) {
                after = bits << (64 - shift) | (after != 0 ? 1 : 0);
                bits >>>= shift;
            } else {
                after = shift == 64 ? bits | (after != 0 ? 1 : 0) : 1;
                bits = 0;
            }
            z.exponent = f.least;
            boolean inexact = after != 0 || (p < 64 && bits << p != 0);
            if (tiny && flushToZero) {
                raised |= UE | PE;
                z.zero(z.negative);
                return;
            }
            if (tiny && inexact) {
                raised |= UE;
            }
        }
        roundAt(z, bits, after, p);
        if (z.significand == 0) {
            z.kind = Real.ZERO;
        } else if (z.exponent > f.most) {
            overflow(z, f);
        }
    }

    /** Whether rounding to so many bits reaches the next power of two. */
    private boolean carries(boolean negative, long bits, long rest, int p) {
        if (p == 64) {
            return bits == -1 && up(negative, true, rest < 0, rest << 1 != 0);
        }
        long unit = 1L << (64 - p);
        return (bits | (unit - 1)) == -1
                && up(negative, true, (bits & unit >>> 1) != 0, (bits & (unit >>> 1) - 1) != 0 || rest != 0);
    }

    private void roundAt(Real z, long bits, long rest, int p) {
        boolean up;
        long unit = p == 64 ? 1 : 1L << (64 - p);
        boolean half;
        boolean below;
        if (p == 64) {
            half = rest < 0;
            below = rest << 1 != 0;
        } else {
            half = (bits & unit >>> 1) != 0;
            below = (bits & (unit >>> 1) - 1) != 0 || rest != 0;
        }
        if (half || below) {
            raised |= PE;
        }
        up = up(z.negative, (bits & unit) != 0, half, below);
        roundedUp = up;
        long v = bits & -unit;
        if (up) {
            v += unit;
            if (v == 0) {
                v = Real.TOP;
                z.exponent++;
            }
        }
        z.significand = v;
    }

    private void overflow(Real z, Format f) {
        raised |= OE;
        if ((masks & OE) == 0) {
            z.exponent -= WRAP;
            if (z.exponent > EXTENDED.most) {
                raised |= PE;
                roundedUp = true;
                z.infinite(z.negative);
            }
            return;
        }
        raised |= PE;
        boolean infinite = rounding == NEAREST || rounding == (z.negative ? DOWN : UP);
        roundedUp = infinite;
        if (infinite) {
            z.infinite(z.negative);
        } else {
            z.exponent = f.most;
            z.significand = f.precision == 64 ? -1 : -(1L << (64 - f.precision));
        }
    }

    /** Rounds to a whole number. */
    void toInteger(Real z, boolean inexact) {
        roundedUp = false;
        if (z.kind != Real.FINITE || z.exponent >= 63) {
            return;
        }
        int was = raised;
        int drop = 63 - z.exponent;
        long whole = drop < 64 ? z.significand >>> drop : 0;
        boolean half = drop <= 64 && (z.significand >>> (drop - 1) & 1) != 0;
        boolean below = drop > 64 || (drop > 1 && z.significand << (65 - drop) != 0);
        if (half || below) {
            raised |= PE;
        }
        boolean up = up(z.negative, (whole & 1) != 0, half, below);
        long v = up ? whole + 1 : whole;
        boolean sign = z.negative;
        z.integer(v); // below 2^63
        z.negative = sign;
        if (!inexact) {
            raised = was;
        }
        roundedUp = up;
    }

    /**
     * A whole number of 16, 32 or 64 bits; the least one, and invalid, where there is none.
     *
     * @param z is rounded
     */
    long toLong(Real z, int bits) {
        long indefinite = -1L << (bits - 1);
        roundedUp = false;
        if (z.kind == Real.ZERO) {
            return 0;
        }
        int was = raised;
        toInteger(z, true);
        boolean fits = z.kind == Real.ZERO
                || (z.kind == Real.FINITE
                        && (z.exponent < bits - 1
                                || (z.exponent == bits - 1 && z.negative && z.significand == Real.TOP)));
        if (!fits) {
            raised = was | IE;
            roundedUp = false;
            return indefinite;
        }
        long m = z.kind == Real.ZERO ? 0 : z.significand >>> (63 - z.exponent);
        return z.negative ? -m : m;
    }

    /** Compares two numbers that are no NaNs: less than, equal to, or greater than zero. */
    static int compare(Real a, Real b) {
        if (a.kind == Real.ZERO && b.kind == Real.ZERO) {
            return 0;
        }
        if (a.kind == Real.ZERO) {
            return b.negative ? 1 : -1;
        }
        if (b.kind == Real.ZERO || a.negative != b.negative) {
            return a.negative ? -1 : 1;
        }
        int c;
        if (a.kind != b.kind) {
            c = a.kind == Real.INFINITE ? 1 : -1;
        } else if (a.kind == Real.INFINITE) {
            c = 0;
        } else {
            c = a.exponent != b.exponent
                    ? Integer.compare(a.exponent, b.exponent)
                    : Long.compareUnsigned(a.significand, b.significand);
        }
        return a.negative ? -c : c;
    }
}
