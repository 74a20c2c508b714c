// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * The instructions of the x87 FPU (Intel SDM volume 1, chapter 8): stack, exceptions, arithmetic and comparisons.
 * {@link X87Memory} loads and stores, {@link X87Functions} has the others.
 *
 * <p>Basic arithmetic is exact in all formats. An exception that is not masked raises #MF at the next waiting
 * instruction if CR0.NE is set; the external interrupt that takes its place otherwise does not exist.
 */
final class X87 {
    /** Bit of {@code hi}: the operand is memory. Bit 12: of an environment, the operand size is 16 bits. */
    static final int MEMORY = 1 << 11;

    static final int C0 = 0x100;
    static final int C1 = 0x200;
    static final int C2 = 0x400;
    static final int C3 = 0x4000;
    private static final int STACK_FAULT = 0x40;
    private static final int SUMMARY = 0x8080;
    private static final int BEFORE = SoftFloat.IE | SoftFloat.DE | SoftFloat.ZE;

    private final Core core;
    private final FpuState s;
    private final X87Memory memory;
    private final X87Functions functions;
    final SoftFloat soft = new SoftFloat();
    final Real a = new Real();
    final Real b = new Real();
    final Real z = new Real();

    X87(Core core) {
        this.core = core;
        s = core.state.fpu;
        soft.x87 = true;
        memory = new X87Memory(core, this);
        functions = new X87Functions(core, this);
    }

    /** Whether an instruction with a register operand exists. */
    static boolean exists(int hi) {
        int rm = hi & 0xff;
        int row = rm >> 3 & 7;
        return switch (hi >> 8 & 7) {
            case 1 -> row < 2 || rm == 0xd0 || rm == 0xe0 || rm == 0xe1 || rm == 0xe4 || rm == 0xe5
                    || (rm >= 0xe8 && rm != 0xef);
            case 2 -> row < 4 || rm == 0xe9;
            case 3 -> row < 4 || (rm >= 0xe0 && rm <= 0xe4) || row == 5 || row == 6;
            case 5 -> row == 0 || row == 2 || row == 3 || row == 4 || row == 5;
            case 6 -> row < 2 || rm == 0xd9 || row > 3;
            case 7 -> row == 0 || rm == 0xe0 || row == 5 || row == 6;
            default -> true;
        };
    }

    /** Bytes of the memory operand; 0 where there is no such instruction. */
    static int memorySize(int escape, int row, boolean small) {
        return switch (escape) {
            case 0, 2 -> 4;
            case 1 -> row == 1 ? 0 : row < 4 ? 4 : (row & 1) == 0 ? (small ? 14 : 28) : 2;
            case 3 -> row < 4 ? 4 : row == 5 || row == 7 ? 10 : 0;
            case 4 -> 8;
            case 5 -> row < 4 ? 8 : row == 5 ? 0 : row == 7 ? 2 : small ? 94 : 108;
            case 6 -> 2;
            default -> row < 4 ? 2 : (row & 1) == 0 ? 10 : 8;
        };
    }

    static boolean stores(int escape, int row) {
        return switch (escape) {
            case 1 -> row == 2 || row == 3 || row >= 6;
            case 3, 5 -> row >= 1 && row != 5 && row != 4;
            case 7 -> row >= 1 && row != 4 && row != 5;
            default -> false;
        };
    }

    /** Raises #MF when an exception that is not masked waits. */
    static void deliverPending(Core core) {
        if ((core.state.fpu.status & 0x80) != 0 && (core.state.cr0 & Core.CR0_NE) != 0) {
            throw core.fault(Fault.MF, -1);
        }
    }

    void execute(int hi, long address) {
        if ((core.state.cr0 & (Core.CR0_EM | Core.CR0_TS)) != 0) {
            throw core.fault(Fault.NM, -1);
        }
        int escape = hi >> 8 & 7;
        int rm = hi & 0xff;
        int row = rm >> 3 & 7;
        boolean inMemory = (hi & MEMORY) != 0;
        boolean waits = inMemory
                ? !((escape == 1 && row >= 6) || (escape == 5 && row >= 6))
                : !(hi == 0x3e2 || hi == 0x3e3 || hi == 0x7e0);
        if (waits) {
            deliverPending(core);
        }
        soft.raised = 0;
        soft.rounding = s.control >> 10 & 3;
        soft.masks = s.control & 0x3f;
        soft.roundedUp = false;
        if (inMemory) {
            memory.execute(escape, row, (hi & 1 << 12) != 0, address);
        } else {
            registers(escape, rm, row, rm & 7);
        }
    }

    /** The precision that the control word asks for. */
    SoftFloat.Format format() {
        return switch (s.control >> 8 & 3) {
            case 0 -> SoftFloat.EXTENDED_24;
            case 2 -> SoftFloat.EXTENDED_53;
            default -> SoftFloat.EXTENDED;
        };
    }

    // ---- the stack

    boolean empty(int i) {
        return (s.tags >> s.physical(i) & 1) == 0;
    }

    void get(int i, Real to) {
        int p = s.physical(i);
        to.unpackExtended(s.significand[p], s.exponent[p]);
    }

    void put(int i, Real v) {
        int p = s.physical(i);
        s.significand[p] = v.kind == Real.ZERO ? 0 : v.significand;
        s.exponent[p] = v.packExtended();
        s.tags |= 1 << p;
    }

    void pop() {
        s.tags &= ~(1 << s.physical(0));
        turn(1);
    }

    void turn(int by) {
        s.status = (s.status & ~0x3800) | (s.status + (by << 11) & 0x3800);
    }

    /** Records an underflow or overflow of the stack; true when it is masked and a result is to be made up. */
    boolean stackFault(boolean overflow) {
        s.status = (s.status & ~C1) | (overflow ? C1 : 0) | STACK_FAULT | SoftFloat.IE;
        boolean masked = (s.control & SoftFloat.IE) != 0;
        if (!masked) {
            s.status |= SUMMARY;
        }
        return masked;
    }

    /** Makes room for {@link #push}; false when nothing is to be pushed, else {@code v} may have been replaced. */
    boolean room(Real v) {
        if (empty(7)) {
            return true;
        }
        v.indefinite();
        return stackFault(true);
    }

    void push(Real v) {
        turn(-1);
        put(0, v);
    }

    /** Records what the last computation has raised; false when its result must not be written. */
    boolean settle() {
        int raised = soft.raised;
        s.status &= ~C1;
        boolean write = (raised & BEFORE & ~soft.masks) == 0;
        if (!write) {
            raised &= BEFORE;
        } else if (soft.roundedUp) {
            s.status |= C1;
        }
        s.status |= raised;
        if ((raised & ~soft.masks) != 0) {
            s.status |= SUMMARY;
        }
        return write;
    }

    // ---- arithmetic

    /** Computes ST(0), in {@link #a}, with {@link #b} into {@link #z}. */
    void compute(int row) {
        SoftFloat.Format f = format();
        switch (row) {
            case 0 -> soft.add(a, b, false, z, f);
            case 1 -> soft.multiply(a, b, z, f);
            case 4 -> soft.add(a, b, true, z, f);
            case 5 -> soft.add(b, a, true, z, f);
            case 6 -> soft.divide(a, b, z, f);
            default -> soft.divide(b, a, z, f);
        }
    }

    /** An operation of ST(0) with {@link #b}, which comes from memory. */
    void withMemory(int row) {
        if (empty(0)) {
            if ((row & 6) == 2) {
                stackFault(false);
                s.status |= C0 | C2 | C3;
            } else if (stackFault(false)) {
                z.indefinite();
                put(0, z);
            }
            if (row == 3 && (s.control & 1) != 0) {
                pop();
            }
            return;
        }
        get(0, a);
        if ((row & 6) == 2) {
            if (compare(false) && row == 3) {
                pop();
            }
            return;
        }
        compute(row);
        if (settle()) {
            put(0, z);
        }
    }

    /** Compares {@link #a} with {@link #b}; false after an unmasked exception, which sets the codes all the same. */
    boolean compare(boolean quiet) {
        s.status = (s.status & ~(C0 | C2 | C3)) | order(quiet);
        return settle();
    }

    private int order(boolean quiet) {
        if (a.kind >= Real.NAN || b.kind >= Real.NAN) {
            boolean bad = a.kind == Real.UNSUPPORTED || b.kind == Real.UNSUPPORTED || a.signals() || b.signals();
            if (bad || !quiet) {
                soft.raised |= SoftFloat.IE;
            }
            return C0 | C2 | C3;
        }
        soft.denormal(a, b);
        int c = SoftFloat.compare(a, b);
        return c == 0 ? C3 : c < 0 ? C0 : 0;
    }

    private void registers(int escape, int rm, int row, int i) {
        switch (escape) {
            case 0 -> arithmetic(row, 0, i, 0);
            case 4 -> arithmetic(row, (row & 6) == 2 ? 0 : i, i, 0);
            case 6 -> {
                if (row == 3) {
                    arithmetic(3, 0, 1, 1); // fcompp
                } else {
                    arithmetic(row, row == 2 ? 0 : i, i, 1);
                }
            }
            case 1 -> functions.execute(rm, row, i);
            case 2 -> {
                if (rm == 0xe9) {
                    ordered(true, 1, 2); // fucompp
                } else {
                    move(core.flags.test(new int[] {2, 4, 6, 10}[row]), i);
                }
            }
            case 3 -> escape3(rm, row, i);
            case 5 -> escape5(row, i);
            default -> escape7(rm, row, i);
        }
    }

    /** An operation of ST(0) and ST(i), then {@code pops} pops, one more for fcomp. */
    private void arithmetic(int row, int to, int i, int pops) {
        if ((row & 6) == 2) {
            ordered(false, i, pops + (row == 3 ? 1 : 0));
            return;
        }
        if (empty(0) || empty(i)) {
            if (!stackFault(false)) {
                return;
            }
            z.indefinite();
        } else {
            get(0, a);
            get(i, b);
            compute(row);
            if (!settle()) {
                return;
            }
        }
        put(to, z);
        if (pops != 0) {
            pop();
        }
    }

    private void ordered(boolean quiet, int i, int pops) {
        if (empty(0) || empty(i)) {
            s.status |= C0 | C2 | C3;
            if (!stackFault(false)) {
                return;
            }
        } else {
            get(0, a);
            get(i, b);
            if (!compare(quiet)) {
                return;
            }
        }
        for (int k = 0; k < pops; k++) {
            pop();
        }
    }

    /** fcomi, fucomi: C1 stays, as on AMD processors. */
    private void flags(boolean quiet, int i, boolean pop) {
        int codes = C0 | C2 | C3;
        boolean go;
        if (empty(0) || empty(i)) {
            go = stackFault(false);
        } else {
            get(0, a);
            get(i, b);
            codes = order(quiet);
            int c1 = s.status & C1;
            go = settle();
            s.status |= c1;
        }
        core.flags.explicit(((codes & C3) != 0 ? Flags.ZF : 0)
                | ((codes & C2) != 0 ? Flags.PF : 0)
                | ((codes & C0) != 0 ? Flags.CF : 0));
        if (pop && go) {
            pop();
        }
    }

    /** fcmovcc. */
    private void move(boolean condition, int i) {
        if (empty(0) || empty(i)) {
            if (stackFault(false)) {
                z.indefinite();
                put(0, z);
            }
        } else if (condition) {
            copy(i, 0);
        }
    }

    /** Copies a register as it is. */
    void copy(int from, int to) {
        int p = s.physical(from);
        int q = s.physical(to);
        s.significand[q] = s.significand[p];
        s.exponent[q] = s.exponent[p];
        s.tags |= 1 << q;
    }

    private void escape3(int rm, int row, int i) {
        if (row < 4) {
            move(core.flags.test(new int[] {3, 5, 7, 11}[row]), i);
        } else if (rm == 0xe2) {
            s.status &= ~0x80ff; // fnclex
        } else if (rm == 0xe3) {
            s.initialize();
        } else if (row > 4) {
            flags(row == 5, i, false);
        }
    }

    private void escape5(int row, int i) {
        switch (row) {
            case 0 -> { // ffree
                s.tags &= ~(1 << s.physical(i));
                s.status &= ~C1;
            }
            case 2, 3 -> {
                if (empty(0)) {
                    if (!stackFault(false)) {
                        return;
                    }
                    z.indefinite();
                    put(i, z);
                } else {
                    copy(0, i);
                    s.status &= ~C1;
                }
                if (row == 3) {
                    pop();
                }
            }
            default -> ordered(true, i, row - 4);
        }
    }

    private void escape7(int rm, int row, int i) {
        if (rm == 0xe0) {
            ColdOps.write(core.r, 0, 2, s.status);
        } else if (row == 0) { // ffreep
            s.tags &= ~(1 << s.physical(i));
            pop();
        } else {
            flags(row == 5, i, true);
        }
    }
}
