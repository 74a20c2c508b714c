// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Arithmetic for all operand sizes; operands come and go sign-extended to 64 bits, flags are set. */
final class Alu {
    static final int ADD = 0;
    static final int OR = 1;
    static final int ADC = 2;
    static final int SBB = 3;
    static final int AND = 4;
    static final int SUB = 5;
    static final int XOR = 6;
    static final int CMP = 7;
    static final int TEST = 8;
    static final int INC = 9;
    static final int DEC = 10;
    static final int NEG = 11;
    static final int NOT = 12;

    private Alu() {}

    static long extend(long v, int size) {
        return switch (size) {
            case 1 -> (byte) v;
            case 2 -> (short) v;
            case 4 -> (int) v;
            default -> v;
        };
    }

    static long mask(int size) {
        return -1L >>> (64 - size * 8);
    }

    /** Computes {@code a op b} and the flags; {@code cmp} and {@code test} return {@code a}. */
    static long compute(Flags f, int kind, int size, long a, long b) {
        long v;
        switch (kind) {
            case ADD -> {
                v = extend(a + b, size);
                f.add(a, b, v);
            }
            case ADC -> {
                boolean carry = f.carry();
                v = extend(a + b + (carry ? 1 : 0), size);
                f.add(a, b, v);
                f.kind = carry ? Flags.ADC : Flags.ADD;
            }
            case SBB -> {
                boolean carry = f.carry();
                v = extend(a - b - (carry ? 1 : 0), size);
                f.sub(a, b, v);
                f.kind = carry ? Flags.SBB : Flags.SUB;
            }
            case SUB -> {
                v = extend(a - b, size);
                f.sub(a, b, v);
            }
            case CMP -> {
                f.sub(a, b, extend(a - b, size));
                v = a;
            }
            case OR -> {
                v = a | b;
                f.logic(v);
            }
            case AND -> {
                v = a & b;
                f.logic(v);
            }
            case XOR -> {
                v = a ^ b;
                f.logic(v);
            }
            case TEST -> {
                f.logic(a & b);
                v = a;
            }
            case INC -> {
                v = extend(a + 1, size);
                f.result(v, (f.carry() ? Flags.CF : 0) | ((a ^ v) & Flags.AF) | (v < 0 && a >= 0 ? Flags.OF : 0));
            }
            case DEC -> {
                v = extend(a - 1, size);
                f.result(v, (f.carry() ? Flags.CF : 0) | ((a ^ v) & Flags.AF) | (v >= 0 && a < 0 ? Flags.OF : 0));
            }
            case NEG -> {
                v = extend(-a, size);
                f.sub(0, a, v);
            }
            default -> v = ~a;
        }
        return v;
    }

    /**
     * Rotates and shifts by a count that is masked here.
     *
     * @param kind 0 rol, 1 ror, 2 rcl, 3 rcr, 4 and 6 shl, 5 shr, 7 sar
     * @param a operand, any upper bits
     * @return the result, upper bits undefined
     */
    static long shift(Flags f, int kind, int size, long a, int rawCount) {
        int n = rawCount & (size == 8 ? 63 : 31);
        if (n == 0) {
            return a;
        }
        int bits = size * 8;
        long x = a & mask(size);
        return switch (kind) {
            case 0 -> rotateLeft(f, size, x, n % bits);
            case 1 -> rotateRight(f, size, x, n % bits);
            case 2 -> rotateCarryLeft(f, bits, x, n % (bits + 1));
            case 3 -> rotateCarryLeft(f, bits, x, -1 - n % (bits + 1));
            case 5 -> {
                long v = x >>> n;
                boolean carry = n <= bits && (x >>> (n - 1) & 1) != 0;
                yield shifted(f, size, n >= bits ? 0 : v, carry, extend(x, size) < 0);
            }
            case 7 -> {
                long s = extend(x, size);
                yield shifted(f, size, s >> Math.min(n, 63), (s >> Math.min(n - 1, 63) & 1) != 0, false);
            }
            default -> {
                boolean carry = n <= bits && (x >>> (bits - n) & 1) != 0;
                long v = extend(n >= bits ? 0 : x << n, size);
                yield shifted(f, size, v, carry, v < 0 != carry);
            }
        };
    }

    private static long shifted(Flags f, int size, long v, boolean carry, boolean overflow) {
        long result = extend(v, size);
        f.result(result, (carry ? Flags.CF : 0) | (overflow ? Flags.OF : 0));
        return result;
    }

    private static void rotated(Flags f, boolean carry, boolean overflow) {
        int keep = f.arithmetic() & ~(Flags.CF | Flags.OF);
        f.explicit(keep | (carry ? Flags.CF : 0) | (overflow ? Flags.OF : 0));
    }

    private static long rotateLeft(Flags f, int size, long x, int n) {
        int bits = size * 8;
        long v = n == 0 ? x : (x << n | x >>> (bits - n)) & mask(size);
        boolean carry = (v & 1) != 0;
        rotated(f, carry, (v >>> (bits - 1) & 1) != 0 != carry);
        return v;
    }

    private static long rotateRight(Flags f, int size, long x, int n) {
        int bits = size * 8;
        long v = n == 0 ? x : (x >>> n | x << (bits - n)) & mask(size);
        boolean top = (v >>> (bits - 1) & 1) != 0;
        rotated(f, top, top != ((v >>> (bits - 2) & 1) != 0));
        return v;
    }

    /** Rotates through carry, one bit at a time: rare. A negative count, as its complement, goes right. */
    private static long rotateCarryLeft(Flags f, int bits, long x, int count) {
        boolean right = count < 0;
        int n = right ? -1 - count : count;
        if (n == 0) {
            return x;
        }
        long v = x;
        boolean carry = f.carry();
        boolean overflow = false;
        for (int i = 0; i < n; i++) {
            boolean top = (v >>> (bits - 1) & 1) != 0;
            if (right) {
                overflow = top != carry;
                boolean out = (v & 1) != 0;
                v = v >>> 1 | (carry ? 1L << (bits - 1) : 0);
                carry = out;
            } else {
                v = v << 1 | (carry ? 1 : 0);
                carry = top;
                overflow = carry != ((v >>> (bits - 1) & 1) != 0);
            }
        }
        rotated(f, carry, overflow);
        return v;
    }

    /** {@code shld} and {@code shrd} by a count that is masked here. */
    static long doubleShift(Flags f, boolean right, int size, long a, long b, int rawCount) {
        int n = rawCount & (size == 8 ? 63 : 31);
        if (n == 0) {
            return a;
        }
        int bits = size * 8;
        long x = a & mask(size);
        long y = b & mask(size);
        if (n > bits) { // 16 bits only, undefined by the manual: processors go on with the first operand
            n -= bits;
            long t = x;
            x = y;
            y = t;
        }
        long v;
        boolean carry;
        if (right) {
            carry = (x >>> (n - 1) & 1) != 0;
            v = n == bits ? y : x >>> n | y << (bits - n);
        } else {
            carry = (x >>> (bits - n) & 1) != 0;
            v = n == bits ? y : x << n | y >>> (bits - n);
        }
        long result = extend(v, size);
        boolean overflow = ((result ^ extend(x, size)) & 1L << (bits - 1)) != 0;
        f.result(result, (carry ? Flags.CF : 0) | (overflow ? Flags.OF : 0));
        return result;
    }

    /** Bit operations: 0 bt, 1 bts, 2 btr, 3 btc. ZF stays as it is. */
    static long bit(Flags f, int kind, int size, long a, long index) {
        long m = 1L << (index & (size * 8 - 1));
        f.explicit((f.arithmetic() & ~Flags.CF) | ((a & m) != 0 ? Flags.CF : 0));
        return switch (kind) {
            case 1 -> a | m;
            case 2 -> a & ~m;
            case 3 -> a ^ m;
            default -> a;
        };
    }
}
