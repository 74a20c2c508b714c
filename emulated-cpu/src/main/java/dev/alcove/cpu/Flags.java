// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * RFLAGS with the arithmetic flags computed on demand from the last result.
 *
 * <p>Operands and result are kept sign-extended from the operand size to 64 bits. Sign extension keeps the unsigned
 * order, so that no formula below depends on the operand size.
 */
final class Flags {
    static final int CF = 1;
    static final int PF = 4;
    static final int AF = 0x10;
    static final int ZF = 0x40;
    static final int SF = 0x80;
    static final int TF = 0x100;
    static final int IF = 0x200;
    static final int DF = 0x400;
    static final int OF = 0x800;
    static final int IOPL = 0x3000;
    static final int NT = 0x4000;
    static final int RF = 0x10000;
    static final int VM = 0x20000;
    static final int AC = 0x40000;
    static final int ID = 0x200000;

    /** The six flags that arithmetic sets. */
    static final int ARITHMETIC = CF | PF | AF | ZF | SF | OF;

    /** All flags are bits of {@link #a}. */
    static final int EXPLICIT = 0;

    /** ZF, SF and PF come from {@link #result}, CF, OF and AF are bits of {@link #a}. */
    static final int RESULT = 1;

    /** {@code result = a + b}. */
    static final int ADD = 2;

    /** {@code result = a - b}. */
    static final int SUB = 3;

    /** {@code result = a + b + 1}. */
    static final int ADC = 4;

    /** {@code result = a - b - 1}. */
    static final int SBB = 5;

    int kind;
    long result;
    long a;
    long b;

    /** All other bits of RFLAGS. */
    int system = 2;

    void logic(long value) {
        kind = RESULT;
        result = value;
        a = 0;
    }

    /** ZF, SF and PF from {@code value}; {@code bits} holds CF, OF and AF. */
    void result(long value, long bits) {
        kind = RESULT;
        result = value;
        a = bits;
    }

    void explicit(long bits) {
        kind = EXPLICIT;
        a = bits & ARITHMETIC;
    }

    void add(long x, long y, long value) {
        kind = ADD;
        a = x;
        b = y;
        result = value;
    }

    void sub(long x, long y, long value) {
        kind = SUB;
        a = x;
        b = y;
        result = value;
    }

    void logic32(int value) {
        logic((long) value);
    }

    void sub32(int x, int y) {
        sub(x, y, x - y);
    }

    boolean carry() {
        return switch (kind) {
            case ADD -> Long.compareUnsigned(result, a) < 0;
            case SUB -> Long.compareUnsigned(a, b) < 0;
            case ADC -> Long.compareUnsigned(result, a) <= 0;
            case SBB -> Long.compareUnsigned(a, b) <= 0;
            default -> (a & CF) != 0;
        };
    }

    boolean zero() {
        return kind == EXPLICIT ? (a & ZF) != 0 : result == 0;
    }

    boolean sign() {
        return kind == EXPLICIT ? (a & SF) != 0 : result < 0;
    }

    boolean parity() {
        return kind == EXPLICIT ? (a & PF) != 0 : (Integer.bitCount((int) result & 0xff) & 1) == 0;
    }

    boolean overflow() {
        return switch (kind) {
            case ADD, ADC -> ((a ^ result) & (b ^ result)) < 0;
            case SUB, SBB -> ((a ^ b) & (a ^ result)) < 0;
            default -> (a & OF) != 0;
        };
    }

    boolean adjust() {
        return ((kind <= RESULT ? a : a ^ b ^ result) & AF) != 0;
    }

    /** The arithmetic flags as bits of RFLAGS. */
    int arithmetic() {
        return (carry() ? CF : 0)
                | (parity() ? PF : 0)
                | (adjust() ? AF : 0)
                | (zero() ? ZF : 0)
                | (sign() ? SF : 0)
                | (overflow() ? OF : 0);
    }

    int get() {
        return arithmetic() | system;
    }

    void set(long rflags) {
        explicit(rflags);
        system = ((int) rflags & ~ARITHMETIC & 0x3f7fd7) | 2;
    }

    /** Evaluates the condition that the low four bits of {@code jcc}, {@code setcc} and {@code cmovcc} encode. */
    boolean test(int condition) {
        boolean v = switch (condition >> 1 & 7) {
            case 0 -> overflow();
            case 1 -> carry();
            case 2 -> zero();
            case 3 -> zero() || carry();
            case 4 -> sign();
            case 5 -> parity();
            case 6 -> sign() != overflow();
            default -> zero() || sign() != overflow();
        };
        return v != ((condition & 1) != 0);
    }

    /** As {@link #test} after {@link #sub} of these operands. */
    static boolean testSub(int condition, long x, long y) {
        return switch (condition & 15) {
            case 2 -> Long.compareUnsigned(x, y) < 0;
            case 3 -> Long.compareUnsigned(x, y) >= 0;
            case 4 -> x == y;
            case 5 -> x != y;
            case 6 -> Long.compareUnsigned(x, y) <= 0;
            case 7 -> Long.compareUnsigned(x, y) > 0;
            case 8 -> x - y < 0;
            case 9 -> x - y >= 0;
            case 12 -> x < y;
            case 13 -> x >= y;
            case 14 -> x <= y;
            default -> x > y;
        };
    }

    /** As {@link #test} after {@link #logic} of this result. */
    static boolean testLogic(int condition, long value) {
        return switch (condition & 15) {
            case 4, 6 -> value == 0;
            case 5, 7 -> value != 0;
            case 8, 12 -> value < 0;
            case 9, 13 -> value >= 0;
            case 14 -> value <= 0;
            case 15 -> value > 0;
            case 3, 1 -> true;
            default -> false;
        };
    }
}
