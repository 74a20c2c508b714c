// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Arithmetic of SSE and SSE2 on single elements, under the control of MXCSR.
 *
 * <p>An instruction calls {@link #begin}, computes its elements, and then {@link #end}, which raises #XM before the
 * destination has been written. Where rounding is to nearest, and operands and result are ordinary numbers, Java
 * computes, and an error-free transformation finds out whether the result is inexact; {@link SoftFloat} does the rest.
 */
final class SseFloat {
    private static final int DAZ = 0x40;
    private static final int FTZ = 0x8000;

    private final Core core;
    private final FpuState state;
    final SoftFloat soft = new SoftFloat();
    private final Real a = new Real();
    private final Real b = new Real();
    private final Real z = new Real();
    private boolean daz;

    /** Whether Java's rounding is that of MXCSR. */
    private boolean nearest;

    SseFloat(Core core) {
        this.core = core;
        state = core.state.fpu;
    }

    void begin() {
        int c = state.mxcsr;
        soft.rounding = c >> 13 & 3;
        soft.masks = c >> 7 & 0x3f;
        soft.flushToZero = (c & FTZ) != 0;
        soft.raised = 0;
        daz = (c & DAZ) != 0;
        nearest = soft.rounding == SoftFloat.NEAREST;
    }

    /** Records what was raised since {@link #begin}, and raises #XM, or #UD where that is not enabled. */
    void end() {
        int raised = soft.raised;
        if (raised == 0) {
            return;
        }
        int before = SoftFloat.IE | SoftFloat.DE | SoftFloat.ZE;
        if ((raised & before & ~soft.masks) != 0) {
            raised &= before; // found before anything is computed
        }
        state.mxcsr |= raised;
        if ((raised & ~soft.masks) != 0) {
            if ((core.state.cr4 & Core.CR4_OSXMMEXCPT) == 0) {
                throw core.undefined();
            }
            throw core.fault(Fault.XM, -1);
        }
    }

    /** Whether the exponent is far from both ends. */
    private static boolean ordinary(double v) {
        int e = (int) (Double.doubleToRawLongBits(v) >>> 52) & 0x7ff;
        return e > 128 && e < 0x7f0;
    }

    private static boolean ordinary(float v) {
        int e = Float.floatToRawIntBits(v) >>> 23 & 0xff;
        return e > 52 && e < 0xf0;
    }

    private void inexact(boolean is) {
        if (is) {
            soft.raised |= SoftFloat.PE;
        }
    }

    /** sqrt, add, mul, sub, min, div, max: 0x51, 0x58, 0x59, 0x5c to 0x5f. */
    long arithmetic64(int opcode, long x, long y) {
        double p = Double.longBitsToDouble(x);
        double q = Double.longBitsToDouble(y);
        if (nearest && ordinary(q) && (ordinary(p) || opcode == 0x51)) {
            double v = quick(opcode, p, q);
            if (ordinary(v)) {
                boolean error = switch (opcode) {
                    case 0x51 -> Math.fma(v, v, -q) != 0;
                    case 0x58 -> differs(p, q, v);
                    case 0x5c -> differs(p, -q, v);
                    case 0x59 -> Math.fma(p, q, -v) != 0;
                    case 0x5e -> Math.fma(v, q, -p) != 0;
                    default -> false;
                };
                inexact(error);
                return Double.doubleToRawLongBits(v);
            }
        }
        a.unpackDouble(x, daz);
        b.unpackDouble(y, daz);
        if (opcode == 0x5d || opcode == 0x5f) {
            return extreme(opcode == 0x5f) ? canonical64(x) : canonical64(y);
        }
        compute(opcode, SoftFloat.DOUBLE);
        return z.packDouble();
    }

    int arithmetic32(int opcode, int x, int y) {
        float p = Float.intBitsToFloat(x);
        float q = Float.intBitsToFloat(y);
        if (nearest && ordinary(q) && (ordinary(p) || opcode == 0x51)) {
            float v = (float) quick(opcode, p, q); // a second rounding that cannot matter: 53 bits are twice 24 and 2
            if (ordinary(v)) {
                double w = v;
                boolean error = switch (opcode) {
                    case 0x51 -> w * w != q;
                    case 0x58 -> differs(p, q, v);
                    case 0x5c -> differs(p, -q, v);
                    case 0x59 -> (double) p * q != w;
                    case 0x5e -> w * q != p;
                    default -> false;
                };
                inexact(error);
                return Float.floatToRawIntBits(v);
            }
        }
        a.unpackFloat(x, daz);
        b.unpackFloat(y, daz);
        if (opcode == 0x5d || opcode == 0x5f) {
            return extreme(opcode == 0x5f) ? canonical32(x) : canonical32(y);
        }
        compute(opcode, SoftFloat.FLOAT);
        return z.packFloat();
    }

    private static double quick(int opcode, double p, double q) {
        return switch (opcode) {
            case 0x51 -> Math.sqrt(q);
            case 0x58 -> p + q;
            case 0x59 -> p * q;
            case 0x5c -> p - q;
            case 0x5d -> p < q ? p : q;
            case 0x5e -> p / q;
            default -> p > q ? p : q;
        };
    }

    /** Whether p + q, rounded, is not {@code sum}. */
    private static boolean differs(double p, double q, double sum) {
        double r = sum - p;
        return (p - (sum - r)) + (q - r) != 0;
    }

    private void compute(int opcode, SoftFloat.Format f) {
        switch (opcode) {
            case 0x51 -> soft.squareRoot(b, z, f);
            case 0x58 -> soft.add(a, b, false, z, f);
            case 0x59 -> soft.multiply(a, b, z, f);
            case 0x5c -> soft.add(a, b, true, z, f);
            default -> soft.divide(a, b, z, f);
        }
    }

    /** Whether minimum or maximum is the first operand. */
    private boolean extreme(boolean maximum) {
        if (a.kind == Real.NAN || b.kind == Real.NAN) {
            soft.raised |= SoftFloat.IE;
            return false;
        }
        soft.denormal(a, b);
        int c = SoftFloat.compare(a, b);
        return maximum ? c > 0 : c < 0;
    }

    /** A denormal is zero where DAZ says so. */
    private long canonical64(long v) {
        return daz && (v & 0x7ff0000000000000L) == 0 ? v & Long.MIN_VALUE : v;
    }

    private int canonical32(int v) {
        return daz && (v & 0x7f800000) == 0 ? v & Integer.MIN_VALUE : v;
    }

    /** One of the eight predicates of {@code cmpps}. */
    boolean compare64(int predicate, long x, long y) {
        a.unpackDouble(x, daz);
        b.unpackDouble(y, daz);
        return predicate(predicate);
    }

    boolean compare32(int predicate, int x, int y) {
        a.unpackFloat(x, daz);
        b.unpackFloat(y, daz);
        return predicate(predicate);
    }

    private boolean predicate(int p) {
        boolean unordered = a.kind == Real.NAN || b.kind == Real.NAN;
        boolean signaling = (p & 3) == 1 || (p & 3) == 2;
        boolean result;
        if (unordered) {
            if (signaling || a.signals() || b.signals()) {
                soft.raised |= SoftFloat.IE;
            }
            result = (p & 3) == 3;
        } else {
            soft.denormal(a, b);
            int c = SoftFloat.compare(a, b);
            result = switch (p & 3) {
                case 0 -> c == 0;
                case 1 -> c < 0;
                case 2 -> c <= 0;
                default -> false;
            };
        }
        return result != (p & 4) > 0;
    }

    /** The flags of {@code comisd} and {@code ucomisd}. */
    int flags64(long x, long y, boolean quiet) {
        a.unpackDouble(x, daz);
        b.unpackDouble(y, daz);
        return order(quiet);
    }

    int flags32(int x, int y, boolean quiet) {
        a.unpackFloat(x, daz);
        b.unpackFloat(y, daz);
        return order(quiet);
    }

    private int order(boolean quiet) {
        if (a.kind == Real.NAN || b.kind == Real.NAN) {
            if (!quiet || a.signals() || b.signals()) {
                soft.raised |= SoftFloat.IE;
            }
            return Flags.ZF | Flags.PF | Flags.CF;
        }
        soft.denormal(a, b);
        int c = SoftFloat.compare(a, b);
        return c == 0 ? Flags.ZF : c < 0 ? Flags.CF : 0;
    }

    // ---- conversions

    long toDouble(int x) {
        a.unpackFloat(x, daz);
        if (!soft.nan(a, a, z)) {
            soft.denormal(a, a);
            z.set(a);
        }
        return z.packDouble();
    }

    int toFloat(long x) {
        a.unpackDouble(x, daz);
        if (!soft.nan(a, a, z)) {
            soft.denormal(a, a);
            z.set(a);
            soft.round(z, 0, SoftFloat.FLOAT);
        }
        return z.packFloat();
    }

    long integerToDouble(long v) {
        z.integer(v);
        soft.round(z, 0, SoftFloat.DOUBLE);
        return z.packDouble();
    }

    int integerToFloat(long v) {
        z.integer(v);
        soft.round(z, 0, SoftFloat.FLOAT);
        return z.packFloat();
    }

    private long integer(int bits, boolean truncate) {
        int rounding = soft.rounding;
        if (truncate) {
            soft.rounding = SoftFloat.TRUNCATE;
        }
        a.denormal = false;
        long v = soft.toLong(a, bits);
        soft.rounding = rounding;
        return v;
    }

    long doubleToInteger(long x, int bits, boolean truncate) {
        a.unpackDouble(x, daz);
        return integer(bits, truncate);
    }

    long floatToInteger(int x, int bits, boolean truncate) {
        a.unpackFloat(x, daz);
        return integer(bits, truncate);
    }

    /** {@code roundsd}: the immediate says how. */
    long round64(long x, int how) {
        a.unpackDouble(x, daz);
        round(how);
        return z.packDouble();
    }

    int round32(int x, int how) {
        a.unpackFloat(x, daz);
        round(how);
        return z.packFloat();
    }

    private void round(int how) {
        if (soft.nan(a, a, z)) {
            return;
        }
        int rounding = soft.rounding;
        if ((how & 4) == 0) {
            soft.rounding = how & 3;
        }
        z.set(a);
        soft.toInteger(z, (how & 8) == 0);
        soft.rounding = rounding;
    }

    /** Reciprocal, or reciprocal square root, which have 12 bits only on real processors. No exceptions. */
    static int reciprocal(int x, boolean root) {
        float v = Float.intBitsToFloat(x);
        if (Float.isNaN(v)) {
            return x | 0x400000;
        }
        if ((x & 0x7f800000) == 0) {
            return (x & 0x80000000) | 0x7f800000; // denormals are zeros
        }
        if (root && v < 0) {
            return 0xffc00000;
        }
        float r = (float) (root ? 1 / Math.sqrt(v) : 1 / (double) v);
        int bits = Float.floatToRawIntBits(r);
        return (bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits;
    }
}
