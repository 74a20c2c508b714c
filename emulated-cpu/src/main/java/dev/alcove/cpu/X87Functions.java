// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * The instructions d9 c0 to d9 ff: copies, constants, and functions of ST(0). Transcendental functions are computed
 * with the 53 bits of Java's; all others are exact.
 */
final class X87Functions {
    /** 1, log2(10), log2(e), pi, log10(2), ln(2), 0: significand rounded down, and what follows it. */
    private static final long[] CONSTANTS = {
        0x8000000000000000L, 0xd49a784bcd1b8afeL, 0xb8aa3b295c17f0bbL, 0xc90fdaa22168c234L, 0x9a209a84fbcff798L,
        0xb17217f7d1cf79abL, 0
    };

    private static final long[] CONSTANT_RESTS = {
        0, 0x492bf6ff4dafdb4cL, 0xbe87fed0691d3e88L, 0xc4c6628b80dc1cd1L, 0x8f8959ac0b7c9178L, 0xc9e3b39803f2f6afL, 0
    };

    private static final int[] CONSTANT_EXPONENTS = {0, 1, 0, 1, -2, -1, 0};

    private final FpuState s;
    private final X87 fpu;

    X87Functions(Core core, X87 fpu) {
        s = core.state.fpu;
        this.fpu = fpu;
    }

    void execute(int rm, int row, int i) {
        switch (row) {
            case 0 -> { // fld st(i)
                fpu.z.indefinite();
                boolean missing = fpu.empty(i);
                if (missing ? fpu.stackFault(false) : fpu.room(fpu.z)) {
                    boolean full = !missing && !fpu.empty(7);
                    int p = s.physical(i);
                    long significand = s.significand[p];
                    int exponent = s.exponent[p];
                    fpu.push(fpu.z);
                    if (!missing && !full) {
                        s.status &= ~X87.C1;
                        int q = s.physical(0);
                        s.significand[q] = significand;
                        s.exponent[q] = exponent;
                    }
                }
            }
            case 1 -> exchange(i);
            case 2 -> {} // fnop
            case 4 -> simple(rm);
            case 5 -> constant(i);
            default -> function(rm);
        }
    }

    private void exchange(int i) {
        for (int k = 0; k <= i; k += Math.max(i, 1)) {
            if (fpu.empty(k)) {
                if (!fpu.stackFault(false)) {
                    return;
                }
            }
        }
        boolean fault = fpu.empty(0) || fpu.empty(i);
        fpu.z.indefinite();
        if (fpu.empty(0)) {
            fpu.put(0, fpu.z);
        }
        if (fpu.empty(i)) {
            fpu.put(i, fpu.z);
        }
        if (!fault) {
            s.status &= ~X87.C1;
        }
        int p = s.physical(0);
        int q = s.physical(i);
        long significand = s.significand[p];
        int exponent = s.exponent[p];
        s.significand[p] = s.significand[q];
        s.exponent[p] = s.exponent[q];
        s.significand[q] = significand;
        s.exponent[q] = exponent;
    }

    /** fchs, fabs, ftst, fxam. */
    private void simple(int rm) {
        int p = s.physical(0);
        if (rm == 0xe5) {
            examine(p);
            return;
        }
        if (fpu.empty(0)) {
            if (rm == 0xe4) {
                s.status |= X87.C0 | X87.C2 | X87.C3;
            }
            if (fpu.stackFault(false)) {
                if (rm != 0xe4) {
                    fpu.z.indefinite();
                    fpu.put(0, fpu.z);
                }
            }
        } else if (rm == 0xe4) {
            fpu.get(0, fpu.a);
            fpu.b.zero(false);
            fpu.compare(false);
        } else {
            s.exponent[p] = rm == 0xe0 ? s.exponent[p] ^ 0x8000 : s.exponent[p] & 0x7fff;
            s.status &= ~X87.C1;
        }
    }

    private void examine(int p) {
        int codes = (s.exponent[p] & 0x8000) != 0 ? X87.C1 : 0;
        fpu.get(0, fpu.a);
        if (fpu.empty(0)) {
            codes |= X87.C3 | X87.C0;
        } else {
            codes |= switch (fpu.a.kind) {
                case Real.ZERO -> X87.C3;
                case Real.INFINITE -> X87.C2 | X87.C0;
                case Real.NAN -> X87.C0;
                case Real.UNSUPPORTED -> 0;
                default -> fpu.a.denormal ? X87.C2 | X87.C3 : X87.C2;
            };
        }
        s.status = (s.status & ~(X87.C0 | X87.C1 | X87.C2 | X87.C3)) | codes;
    }

    private void constant(int i) {
        Real z = fpu.z;
        if (i == 6) {
            z.zero(false);
        } else {
            z.kind = Real.FINITE;
            z.negative = false;
            z.denormal = false;
            z.exponent = CONSTANT_EXPONENTS[i];
            z.significand = CONSTANTS[i];
            fpu.soft.round(z, CONSTANT_RESTS[i], SoftFloat.EXTENDED);
        }
        s.status &= ~X87.C1;
        if (fpu.room(z)) {
            fpu.push(z);
        }
    }

    private void function(int rm) {
        switch (rm) {
            case 0xf6 -> turn(-1); // fdecstp
            case 0xf7 -> turn(1); // fincstp
            default -> {
                boolean two = rm == 0xf1 || rm == 0xf3 || rm == 0xf5 || rm == 0xf8 || rm == 0xf9 || rm == 0xfd;
                boolean replaces = rm == 0xf1 || rm == 0xf3 || rm == 0xf9; // result in ST(1), then a pop
                if (fpu.empty(0) || (two && fpu.empty(1))) {
                    missing(rm, replaces);
                    return;
                }
                fpu.get(0, fpu.a);
                if (two) {
                    fpu.get(1, fpu.b);
                }
                one(rm);
            }
        }
    }

    private void missing(int rm, boolean replaces) {
        if (rm == 0xf5 || rm == 0xf8) {
            s.status &= ~X87.C2;
        }
        if (fpu.stackFault(false)) {
            fpu.z.indefinite();
            fpu.put(replaces ? 1 : 0, fpu.z);
            if (replaces) {
                fpu.pop();
            } else if (rm == 0xf4 || rm == 0xf2 || rm == 0xfb) {
                fpu.push(fpu.z);
            }
        }
    }

    private void turn(int by) {
        fpu.turn(by);
        s.status &= ~X87.C1;
    }

    private void one(int rm) {
        switch (rm) {
            case 0xfa -> {
                fpu.soft.squareRoot(fpu.a, fpu.z, fpu.format());
                finish();
            }
            case 0xfc -> { // frndint
                if (!fpu.soft.nan(fpu.a, fpu.a, fpu.z)) {
                    fpu.soft.denormal(fpu.a, fpu.a);
                    fpu.z.set(fpu.a);
                    fpu.soft.toInteger(fpu.z, true);
                }
                finish();
            }
            case 0xfd -> scale();
            case 0xf4 -> extract();
            case 0xf5, 0xf8 -> remainder(rm == 0xf5);
            default -> transcendental(rm);
        }
    }

    private void finish() {
        if (fpu.settle()) {
            fpu.put(0, fpu.z);
        }
    }

    /** fscale: ST(0) by 2 to the power of ST(1), whose fraction does not count. */
    private void scale() {
        Real a = fpu.a;
        Real b = fpu.b;
        if (!fpu.soft.nan(a, b, fpu.z)) {
            if (b.kind == Real.INFINITE) {
                if (a.kind == (b.negative ? Real.INFINITE : Real.ZERO)) {
                    fpu.soft.invalid(fpu.z);
                } else if (b.negative) {
                    fpu.soft.denormal(a, b);
                    fpu.z.zero(a.negative);
                } else {
                    fpu.soft.denormal(a, b);
                    fpu.z.infinite(a.negative);
                }
            } else {
                fpu.soft.denormal(a, b);
                fpu.z.set(a);
                fpu.z.denormal = false;
                if (a.kind == Real.FINITE && b.kind == Real.FINITE && b.exponent >= 0) {
                    int n = b.exponent > 16 ? 0x10000 : (int) (b.significand >>> (63 - b.exponent));
                    fpu.z.exponent += b.negative ? -n : n;
                    fpu.soft.round(fpu.z, 0, SoftFloat.EXTENDED);
                } else if (a.kind == Real.FINITE) {
                    fpu.soft.round(fpu.z, 0, SoftFloat.EXTENDED);
                }
            }
        }
        finish();
    }

    /** fxtract: the exponent to ST(0), then the significand is pushed. */
    private void extract() {
        Real a = fpu.a;
        Real z = fpu.z;
        if (!fpu.empty(7)) {
            if (fpu.stackFault(true)) {
                z.indefinite();
                fpu.put(0, z);
                fpu.push(z);
            }
            return;
        }
        if (fpu.soft.nan(a, a, z)) {
            a.set(z);
        } else if (a.kind == Real.ZERO) {
            fpu.soft.raised |= SoftFloat.ZE;
            z.infinite(true);
        } else if (a.kind == Real.INFINITE) {
            z.infinite(false);
        } else {
            fpu.soft.denormal(a, a);
            z.integer(a.exponent);
            a.exponent = 0;
        }
        if (fpu.settle()) {
            fpu.put(0, z);
            fpu.push(a);
        }
    }

    /** fprem, fprem1: exact, at most 63 bits of the quotient at once. */
    private void remainder(boolean nearest) {
        Real a = fpu.a;
        Real b = fpu.b;
        Real z = fpu.z;
        s.status &= ~X87.C2;
        int codes = s.status & (X87.C0 | X87.C3);
        if (!fpu.soft.nan(a, b, z)) {
            if (a.kind == Real.INFINITE || b.kind == Real.ZERO) {
                fpu.soft.invalid(z);
            } else {
                fpu.soft.denormal(a, b);
                z.set(a);
                z.denormal = false;
                codes = 0;
                if (a.kind != Real.ZERO && b.kind != Real.INFINITE) {
                    codes = reduce(z, b, nearest);
                }
                if (z.kind == Real.FINITE) {
                    fpu.soft.round(z, 0, SoftFloat.EXTENDED);
                }
            }
        }
        if (fpu.settle()) {
            fpu.put(0, z);
            s.status = (s.status & ~(X87.C0 | X87.C1 | X87.C2 | X87.C3)) | codes;
        }
    }

    private static int reduce(Real z, Real b, boolean nearest) {
        int d = z.exponent - b.exponent;
        if (d < -1 || (d < 0 && !nearest)) {
            return 0;
        }
        boolean partial = d >= 64;
        int steps = partial ? 32 + (d & 31) : d;
        long divisor = b.significand;
        long rest = z.significand;
        long quotient = 0;
        boolean carry = false;
        int exponent = partial ? z.exponent - steps : b.exponent;
        if (d < 0) {
            exponent = z.exponent; // only the rounding below may subtract
            steps = -1;
        }
        for (int i = 0; i <= steps; i++) {
            quotient <<= 1;
            if (carry || Long.compareUnsigned(rest, divisor) >= 0) {
                rest -= divisor;
                quotient |= 1;
            }
            if (i < steps) {
                carry = rest < 0;
                rest <<= 1;
            }
        }
        boolean sign = z.negative;
        if (nearest && !partial) {
            // at d < 0 the divisor is twice as far up as the rest
            int c = d < 0
                    ? Long.compareUnsigned(rest, divisor)
                    : rest < 0 ? 1 : Long.compareUnsigned(rest << 1, divisor);
            if (c > 0 || (c == 0 && (quotient & 1) != 0)) {
                quotient++;
                rest = d < 0 ? divisor - rest + divisor : divisor - rest;
                sign = !sign;
            }
        }
        if (rest == 0) {
            z.zero(z.negative);
        } else {
            int shift = Long.numberOfLeadingZeros(rest);
            z.significand = rest << shift;
            z.exponent = exponent - shift;
            z.negative = sign;
        }
        if (partial) {
            return X87.C2;
        }
        return ((quotient & 4) != 0 ? X87.C0 : 0) | ((quotient & 2) != 0 ? X87.C3 : 0) | ((quotient & 1) != 0 ? X87.C1 : 0);
    }

    private static double approximate(Real v) {
        if (v.kind != Real.FINITE) {
            return v.kind == Real.ZERO ? (v.negative ? -0.0 : 0.0) : v.negative ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
        }
        double m = (v.significand >>> 11) * 0x1p-52;
        double r = Math.scalb(m, Math.clamp(v.exponent, -1100, 1100));
        return v.negative ? -r : r;
    }

    private void result(double v) {
        if (Double.isNaN(v)) {
            fpu.soft.invalid(fpu.z);
        } else {
            fpu.z.unpackDouble(Double.doubleToRawLongBits(v), false);
            fpu.z.denormal = false;
            if (fpu.z.kind == Real.FINITE) {
                fpu.soft.raised |= SoftFloat.PE;
            }
        }
    }

    private void transcendental(int rm) {
        Real a = fpu.a;
        boolean replaces = rm == 0xf1 || rm == 0xf3 || rm == 0xf9;
        boolean trigonometric = rm == 0xf2 || rm >= 0xfb;
        if (trigonometric && a.kind == Real.FINITE && a.exponent >= 63) {
            s.status = (s.status & ~X87.C1) | X87.C2; // out of range: nothing is computed
            return;
        }
        if (!fpu.soft.nan(a, replaces ? fpu.b : a, fpu.z)) {
            double x = approximate(a);
            double y = approximate(fpu.b);
            result(switch (rm) {
                case 0xf0 -> Math.expm1(x * Math.log(2));
                case 0xf1 -> y * Math.log(x) / Math.log(2);
                case 0xf2 -> Math.tan(x);
                case 0xf3 -> Math.atan2(y, x);
                case 0xf9 -> y * Math.log1p(x) / Math.log(2);
                case 0xff -> Math.cos(x);
                default -> Math.sin(x);
            });
        }
        if (trigonometric) {
            s.status &= ~X87.C2;
        }
        if (!fpu.settle()) {
            return;
        }
        if (replaces) {
            fpu.put(1, fpu.z);
            fpu.pop();
            return;
        }
        fpu.put(0, fpu.z);
        if (rm == 0xf2 || rm == 0xfb) { // fptan pushes 1, fsincos the cosine
            if (fpu.z.kind != Real.NAN) {
                if (rm == 0xf2) {
                    fpu.z.integer(1);
                } else {
                    result(Math.cos(approximate(a)));
                }
            }
            if (fpu.room(fpu.z)) {
                fpu.push(fpu.z);
            }
        }
    }
}
