// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.invoke.VarHandle;

/** The less frequent integer operations; stack, string and system operations are passed on. */
final class ColdOps {
    private final Core core;
    private final long[] r;
    private final Flags flags;
    private final Atomics atomics;
    private final StackOps stack;
    private final StringOps strings;
    private final SystemOps system;
    private final VectorOps vectors;
    private final X87 x87;
    private final FpuImages images;

    ColdOps(Core core) {
        this.core = core;
        r = core.r;
        flags = core.flags;
        atomics = new Atomics(core);
        stack = new StackOps(core);
        system = new SystemOps(core);
        strings = new StringOps(core, system);
        vectors = new VectorOps(core);
        x87 = new X87(core);
        images = new FpuImages(core);
    }

    /**
     * Executes one operation.
     *
     * @return true when the interpreter has to be left; the instruction pointer is set then
     */
    boolean execute(long w, long second, Block block) {
        int op = (int) w & 0x3ff;
        if (op >= Op.FIRST_SYSTEM) {
            return system.execute(w, second);
        }
        int hi = (int) (w >> 32);
        switch (op) {
            case Op.STRING -> {
                return strings.execute(hi, second);
            }
            case Op.LOCKED -> atomics.execute(w, address(w, second));
            case Op.EA_CHECK -> r[d(w)] = core.segments.address(address(w, second), hi);
            case Op.FENCE -> VarHandle.fullFence();
            case Op.VECTOR, Op.VECTOR_MOVE -> vectors.execute(w, address(w, second));
            case Op.X87 -> x87.execute(hi, address(w, second));
            case Op.FPU_IMAGE -> images.execute(hi, address(w, second));
            case Op.LOOP -> {
                return loop(hi, second);
            }
            case Op.PUSH,
                    Op.POP,
                    Op.ADJUST_SP,
                    Op.PUSHA,
                    Op.POPA,
                    Op.ENTER,
                    Op.LEAVE,
                    Op.CALL_NEAR,
                    Op.RET_NEAR,
                    Op.JMP_NEAR -> {
                return stack.execute(w, second, block);
            }
            default -> integer(op, w, second, hi);
        }
        return false;
    }

    private static int d(long w) {
        return (int) (w >>> 10) & 31;
    }

    private static int s(long w) {
        return (int) (w >>> 15) & 31;
    }

    private long address(long w, long second) {
        return r[(int) (w >>> 20) & 31] + (r[(int) (w >>> 25) & 31] << (int) (w >>> 30 & 3)) + second;
    }

    private void write(int register, int size, long v) {
        write(r, register, size, v);
    }

    /** Writes a register as an instruction of this operand size does. */
    static void write(long[] r, int register, int size, long v) {
        r[register] = switch (size) {
            case 1 -> (r[register] & ~0xffL) | (v & 0xff);
            case 2 -> (r[register] & ~0xffffL) | (v & 0xffff);
            case 4 -> v & 0xffffffffL;
            default -> v;
        };
    }

    private void integer(int op, long w, long second, int hi) {
        int d = d(w);
        int s = s(w);
        switch (op) {
            case Op.ALU -> {
                int size = hi >> 4 & 15;
                int kind = hi & 15;
                long b = Alu.extend((hi & 256) != 0 ? second : r[s], size);
                long v = Alu.compute(flags, kind, size, Alu.extend(r[d], size), b);
                if (kind != Alu.CMP && kind != Alu.TEST) {
                    write(d, size, v);
                }
            }
            case Op.SHIFT -> {
                int size = hi >> 4 & 15;
                int n = (int) ((hi & 256) != 0 ? second : r[s]);
                write(d, size, Alu.shift(flags, hi & 7, size, r[d], n));
            }
            case Op.SHLD -> {
                int size = hi >> 4 & 15;
                int n = (int) ((hi & 256) != 0 ? second : r[1]);
                write(d, size, Alu.doubleShift(flags, (hi & 1) != 0, size, r[d], r[s], n));
            }
            case Op.MUL -> Multiply.multiply(r, flags, r[s], hi & 15, (hi & 16) != 0);
            case Op.DIV -> {
                if (!Multiply.divide(r, r[s], hi & 15, (hi & 16) != 0)) {
                    throw core.fault(Fault.DE, -1);
                }
            }
            case Op.IMUL16 -> {
                int v = (short) r[s] * (short) r[Core.T1];
                flags.result((short) v, v == (short) v ? 0 : Flags.CF | Flags.OF);
                write(d, 2, v);
            }
            case Op.GET_HIGH -> r[d] = r[s] >>> 8 & 0xff;
            case Op.SET_HIGH -> r[d] = (r[d] & ~0xff00L) | (r[s] & 0xff) << 8;
            case Op.WIDEN -> write(0, hi, Alu.extend(r[0], hi / 2));
            case Op.WIDEN_PAIR -> write(2, hi, Alu.extend(r[0], hi) >> 63);
            case Op.BSWAP -> write(d, hi, reverse(r[s], hi));
            case Op.BT -> {
                int size = hi >> 4 & 15;
                long v = Alu.bit(flags, hi & 3, size, r[d], (hi & 256) != 0 ? second : r[s]);
                if ((hi & 3) != 0) {
                    write(d, size, v);
                }
            }
            case Op.BIT_ADDRESS -> {
                int shift = hi == 8 ? 6 : hi == 4 ? 5 : 4;
                long a = address(w, second) + (Alu.extend(r[s], hi) >> shift) * hi;
                r[d] = core.is64() ? a : a & 0xffffffffL;
            }
            case Op.BIT_SCAN -> scan(d, r[s], hi & 15, hi >> 4);
            case Op.CMOV16 -> {
                if (flags.test(hi)) {
                    write(d, 2, r[s]);
                }
            }
            case Op.FLAG -> flag(hi);
            case Op.BCD -> Decimal.execute(core, hi, (int) second);
            case Op.XCHG -> {
                long a = r[d];
                long b = r[s];
                write(s, hi, a);
                write(d, hi, b);
            }
            case Op.CMPXCHG -> {
                long a = Alu.extend(r[0], hi);
                long b = Alu.extend(r[d], hi);
                Alu.compute(flags, Alu.CMP, hi, a, b);
                if (a == b) {
                    write(d, hi, r[s]);
                } else {
                    write(0, hi, b);
                }
            }
            case Op.XADD -> {
                long a = r[d];
                long sum = Alu.compute(flags, Alu.ADD, hi, Alu.extend(a, hi), Alu.extend(r[s], hi));
                write(s, hi, a);
                write(d, hi, sum);
            }
            case Op.CRC32 -> r[d] = checksum((int) r[d], r[s], hi);
            default -> throw core.unsupported("operation " + op);
        }
    }

    private static long reverse(long v, int size) {
        return switch (size) {
            case 2 -> Short.reverseBytes((short) v); // for bswap undefined
            case 4 -> Integer.reverseBytes((int) v);
            default -> Long.reverseBytes(v);
        };
    }

    /** CRC-32C, least significant bit first. */
    private static long checksum(int start, long v, int size) {
        int crc = start;
        for (int i = 0; i < size; i++) {
            crc ^= (int) (v >>> (i * 8)) & 255;
            for (int k = 0; k < 8; k++) {
                crc = crc >>> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
            }
        }
        return crc & 0xffffffffL;
    }

    private void scan(int d, long value, int kind, int size) {
        long v = value & Alu.mask(size);
        int bits = size * 8;
        switch (kind) {
            case 0, 1 -> {
                flags.explicit(v == 0 ? Flags.ZF : 0);
                if (v != 0) {
                    write(d, size, kind == 0 ? Long.numberOfTrailingZeros(v) : 63 - Long.numberOfLeadingZeros(v));
                }
            }
            case 2, 3 -> {
                long n = kind == 2
                        ? Math.min(bits, Long.numberOfTrailingZeros(v))
                        : Long.numberOfLeadingZeros(v) - (64 - bits);
                flags.explicit((v == 0 ? Flags.CF : 0) | (n == 0 ? Flags.ZF : 0));
                write(d, size, n);
            }
            default -> {
                flags.explicit(v == 0 ? Flags.ZF : 0);
                write(d, size, Long.bitCount(v));
            }
        }
    }

    private void flag(int kind) {
        switch (kind) {
            case 0 -> flags.explicit(flags.arithmetic() ^ Flags.CF);
            case 1 -> flags.explicit(flags.arithmetic() & ~Flags.CF);
            case 2 -> flags.explicit(flags.arithmetic() | Flags.CF);
            case 3 -> flags.system &= ~Flags.DF;
            case 4 -> flags.system |= Flags.DF;
            case 5 -> flags.explicit((flags.arithmetic() & Flags.OF) | (r[0] >>> 8 & 0xd5));
            default -> r[0] = (r[0] & ~0xff00L) | (long) ((flags.arithmetic() & 0xd5) | 2) << 8;
        }
    }

    private boolean loop(int hi, long target) {
        int width = hi >> 4;
        int kind = hi & 3;
        boolean jump;
        if (kind == 3) {
            jump = (r[1] & Alu.mask(width)) == 0;
        } else {
            long n = r[1] - 1 & Alu.mask(width);
            write(1, width, n);
            jump = n != 0 && (kind == 2 || flags.zero() == (kind == 1));
        }
        if (jump) {
            core.rip = target;
        }
        return jump;
    }
}
