// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.jspecify.annotations.Nullable;

/**
 * Executes decoded blocks, and goes from one to the next as long as nothing else is to be done.
 *
 * <p>{@link #run} has to stay below 8000 bytecodes including what is inlined, or HotSpot does not compile it; so memory
 * is accessed in few places and everything rare is in {@link ColdOps}.
 */
final class Interpreter {
    private static final int ADDRESS_SHIFT = 30;

    private final Core core;
    private final ColdOps cold;

    Interpreter(Core core) {
        this.core = core;
        cold = new ColdOps(core);
    }

    private static long address(long[] r, long w, long second) {
        return r[(int) (w >>> 20) & 31] + (r[(int) (w >>> 25) & 31] << (int) (w >>> ADDRESS_SHIFT & 3)) + second;
    }

    /**
     * Runs from the beginning of {@code first} until the next instruction has no valid decoded block, attention is
     * wanted, or an operation asks to leave. The instruction pointer is up to date then, also when this throws.
     */
    void run(Block first) {
        final Core c = core;
        final long[] r = c.r;
        final Flags f = c.flags;
        final Mmu m = c.mmu;
        Block block = first;
        int pc = 0;
        try {
            for (; ; ) {
                final long[] ops = block.ops;
                pc = 0;
                long target;
                int link = 0;
                execute:
                for (; ; pc += 2) {
                    final long w = ops[pc];
                    final int d = (int) (w >>> 10) & 31;
                    final int s = (int) (w >>> 15) & 31;
                    switch ((int) w & 0x3ff) {
                        case Op.END -> {
                            target = ops[pc + 1];
                            link = 2;
                            break execute;
                        }
                        case Op.SYNC -> {
                            c.rip = ops[pc + 1];
                            c.retired += block.count;
                            return;
                        }
                        case Op.JMP -> {
                            target = ops[pc + 1];
                            link = 1;
                            break execute;
                        }
                        case Op.JCC -> {
                            boolean taken = f.test((int) (w >> 32));
                            target = taken ? ops[pc + 1] : block.end;
                            link = taken ? 1 : 2;
                            break execute;
                        }
                        case Op.CMP64_JCC, Op.CMP64I_JCC -> {
                            long a = r[d];
                            long b = ((int) w & 0x3ff) == Op.CMP64_JCC ? r[s] : w >> 32;
                            f.sub(a, b, a - b);
                            boolean taken = Flags.testSub((int) (w >>> 20), a, b);
                            target = taken ? ops[pc + 1] : block.end;
                            link = taken ? 1 : 2;
                            break execute;
                        }
                        case Op.CMP32_JCC, Op.CMP32I_JCC -> {
                            int a = (int) r[d];
                            int b = ((int) w & 0x3ff) == Op.CMP32_JCC ? (int) r[s] : (int) (w >> 32);
                            f.sub(a, b, a - b);
                            boolean taken = Flags.testSub((int) (w >>> 20), a, b);
                            target = taken ? ops[pc + 1] : block.end;
                            link = taken ? 1 : 2;
                            break execute;
                        }
                        case Op.TEST64_JCC, Op.TEST32_JCC -> {
                            long v = r[d] & r[s];
                            if (((int) w & 0x3ff) == Op.TEST32_JCC) {
                                v = v << 32 >> 32;
                            }
                            f.logic(v);
                            boolean taken = Flags.testLogic((int) (w >>> 20), v);
                            target = taken ? ops[pc + 1] : block.end;
                            link = taken ? 1 : 2;
                            break execute;
                        }
                        case Op.JMPR -> {
                            target = r[s];
                            break execute;
                        }
                        case Op.CALL -> {
                            m.store64(r[4] - 8, block.end);
                            r[4] -= 8;
                            target = ops[pc + 1];
                            link = 1;
                            break execute;
                        }
                        case Op.CALLR -> {
                            target = r[s];
                            m.store64(r[4] - 8, block.end);
                            r[4] -= 8;
                            break execute;
                        }
                        case Op.RET -> {
                            target = m.load64(r[4]);
                            r[4] += 8 + (w >> 32);
                            break execute;
                        }
                        case Op.MOV64 -> r[d] = r[s];
                        case Op.MOV32 -> r[d] = r[s] & 0xffffffffL;
                        case Op.MOVI -> r[d] = ops[pc + 1];
                        case Op.MOV16 -> r[d] = (r[d] & ~0xffffL) | (r[s] & 0xffff);
                        case Op.MOV8 -> r[d] = (r[d] & ~0xffL) | (r[s] & 0xff);
                        case Op.ZX8 -> r[d] = r[s] & 0xff;
                        case Op.ZX16 -> r[d] = r[s] & 0xffff;
                        case Op.SX8_32 -> r[d] = (byte) r[s] & 0xffffffffL;
                        case Op.SX8_64 -> r[d] = (byte) r[s];
                        case Op.SX16_32 -> r[d] = (short) r[s] & 0xffffffffL;
                        case Op.SX16_64 -> r[d] = (short) r[s];
                        case Op.SX32_64 -> r[d] = (int) r[s];
                        case Op.LEA64 -> r[d] = address(r, w, ops[pc + 1]);
                        case Op.LEA32 -> r[d] = address(r, w, ops[pc + 1]) & 0xffffffffL;
                        case Op.LEA_SEG -> r[d] = address(r, w, ops[pc + 1]) + c.state.segment[(int) (w >> 32)].base;
                        case Op.LD8 -> r[d] = m.load8(address(r, w, ops[pc + 1]));
                        case Op.LD16 -> r[d] = m.load16(address(r, w, ops[pc + 1]));
                        case Op.LD32 -> r[d] = m.load32(address(r, w, ops[pc + 1]));
                        case Op.LD64 -> r[d] = m.load64(address(r, w, ops[pc + 1]));
                        case Op.ST8 -> m.store8(address(r, w, ops[pc + 1]), r[s]);
                        case Op.ST16 -> m.store16(address(r, w, ops[pc + 1]), r[s]);
                        case Op.ST32 -> m.store32(address(r, w, ops[pc + 1]), r[s]);
                        case Op.ST64 -> m.store64(address(r, w, ops[pc + 1]), r[s]);
                        case Op.STI8, Op.STI16, Op.STI32, Op.STI64 ->
                            m.store(address(r, w, ops[pc + 1]), 1 << (((int) w & 0x3ff) - Op.STI8), w >> 32);
                        case Op.PROBE -> m.probe(address(r, w, ops[pc + 1]), (int) (w >> 32));
                        case Op.ADD64 -> {
                            long a = r[d];
                            long b = r[s];
                            r[d] = a + b;
                            f.add(a, b, a + b);
                        }
                        case Op.ADD64I -> {
                            long a = r[d];
                            long b = w >> 32;
                            r[d] = a + b;
                            f.add(a, b, a + b);
                        }
                        case Op.ADD32 -> {
                            int a = (int) r[d];
                            int b = (int) r[s];
                            r[d] = a + b & 0xffffffffL;
                            f.add(a, b, a + b);
                        }
                        case Op.ADD32I -> {
                            int a = (int) r[d];
                            int b = (int) (w >> 32);
                            r[d] = a + b & 0xffffffffL;
                            f.add(a, b, a + b);
                        }
                        case Op.SUB64 -> {
                            long a = r[d];
                            long b = r[s];
                            r[d] = a - b;
                            f.sub(a, b, a - b);
                        }
                        case Op.SUB64I -> {
                            long a = r[d];
                            long b = w >> 32;
                            r[d] = a - b;
                            f.sub(a, b, a - b);
                        }
                        case Op.SUB32 -> {
                            int a = (int) r[d];
                            int b = (int) r[s];
                            r[d] = a - b & 0xffffffffL;
                            f.sub(a, b, a - b);
                        }
                        case Op.SUB32I -> {
                            int a = (int) r[d];
                            int b = (int) (w >> 32);
                            r[d] = a - b & 0xffffffffL;
                            f.sub(a, b, a - b);
                        }
                        case Op.CMP64 -> f.sub(r[d], r[s], r[d] - r[s]);
                        case Op.CMP64I -> f.sub(r[d], w >> 32, r[d] - (w >> 32));
                        case Op.CMP32 -> f.sub32((int) r[d], (int) r[s]);
                        case Op.CMP32I -> f.sub32((int) r[d], (int) (w >> 32));
                        case Op.CMP8 -> f.sub((byte) r[d], (byte) r[s], (byte) ((byte) r[d] - (byte) r[s]));
                        case Op.CMP8I -> f.sub((byte) r[d], w >> 32, (byte) ((byte) r[d] - (w >> 32)));
                        case Op.AND64 -> f.logic(r[d] &= r[s]);
                        case Op.AND64I -> f.logic(r[d] &= w >> 32);
                        case Op.OR64 -> f.logic(r[d] |= r[s]);
                        case Op.OR64I -> f.logic(r[d] |= w >> 32);
                        case Op.XOR64 -> f.logic(r[d] ^= r[s]);
                        case Op.XOR64I -> f.logic(r[d] ^= w >> 32);
                        case Op.TEST64 -> f.logic(r[d] & r[s]);
                        case Op.TEST64I -> f.logic(r[d] & (w >> 32));
                        case Op.AND32 -> {
                            int v = (int) (r[d] & r[s]);
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.AND32I -> {
                            int v = (int) (r[d] & (w >> 32));
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.OR32 -> {
                            int v = (int) (r[d] | r[s]);
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.OR32I -> {
                            int v = (int) (r[d] | (w >> 32));
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.XOR32 -> {
                            int v = (int) (r[d] ^ r[s]);
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.XOR32I -> {
                            int v = (int) (r[d] ^ (w >> 32));
                            r[d] = v & 0xffffffffL;
                            f.logic(v);
                        }
                        case Op.TEST32 -> f.logic32((int) (r[d] & r[s]));
                        case Op.TEST32I -> f.logic32((int) (r[d] & (w >> 32)));
                        case Op.TEST8 -> f.logic((byte) (r[d] & r[s]));
                        case Op.TEST8I -> f.logic((byte) (r[d] & (w >> 32)));
                        case Op.INC64, Op.DEC64, Op.NEG64, Op.NOT64 ->
                            r[d] = Alu.compute(f, Alu.INC + ((((int) w & 0x3ff) - Op.INC64) >> 1), 8, r[d], 0);
                        case Op.INC32, Op.DEC32, Op.NEG32, Op.NOT32 ->
                            r[d] = Alu.compute(f, Alu.INC + ((((int) w & 0x3ff) - Op.INC64) >> 1), 4, r[d] << 32 >> 32, 0)
                                    & 0xffffffffL;
                        case Op.SHL64I -> {
                            long a = r[d];
                            int n = (int) (w >> 32);
                            long v = a << n;
                            long carry = a >>> -n & 1;
                            r[d] = v;
                            f.result(v, carry | ((v >>> 63 ^ carry) << 11));
                        }
                        case Op.SHL32I -> {
                            int a = (int) r[d];
                            int n = (int) (w >> 32);
                            int v = a << n;
                            int carry = a >>> -n & 1;
                            r[d] = v & 0xffffffffL;
                            f.result(v, carry | (long) (v >>> 31 ^ carry) << 11);
                        }
                        case Op.SHR64I -> {
                            long a = r[d];
                            int n = (int) (w >> 32);
                            r[d] = a >>> n;
                            f.result(a >>> n, (a >>> (n - 1) & 1) | (a >>> 63 << 11));
                        }
                        case Op.SHR32I -> {
                            int a = (int) r[d];
                            int n = (int) (w >> 32);
                            int v = a >>> n; // not negative
                            r[d] = v;
                            f.result(v, (a >>> (n - 1) & 1) | (long) (a >>> 31) << 11);
                        }
                        case Op.SAR64I -> {
                            long a = r[d];
                            int n = (int) (w >> 32);
                            r[d] = a >> n;
                            f.result(a >> n, a >> (n - 1) & 1);
                        }
                        case Op.SAR32I -> {
                            int a = (int) r[d];
                            int n = (int) (w >> 32);
                            r[d] = a >> n & 0xffffffffL;
                            f.result(a >> n, a >> (n - 1) & 1);
                        }
                        case Op.IMUL64 -> r[d] = multiply(f, r[d], r[s]);
                        case Op.IMUL64I -> r[d] = multiply(f, r[s], w >> 32);
                        case Op.IMUL32 -> r[d] = multiply32(f, (int) r[d] * (long) (int) r[s]);
                        case Op.IMUL32I -> r[d] = multiply32(f, (int) r[s] * (w >> 32));
                        case Op.SETCC -> r[d] = (r[d] & ~0xffL) | (f.test((int) (w >> 32)) ? 1 : 0);
                        case Op.CMOV64 -> r[d] = f.test((int) (w >> 32)) ? r[s] : r[d];
                        case Op.CMOV32 -> r[d] = (f.test((int) (w >> 32)) ? r[s] : r[d]) & 0xffffffffL;
                        case Op.PUSH64, Op.PUSH64I -> {
                            m.store64(r[4] - 8, ((int) w & 0x3ff) == Op.PUSH64 ? r[s] : w >> 32);
                            r[4] -= 8;
                        }
                        case Op.POP64 -> {
                            long v = m.load64(r[4]);
                            r[4] += 8;
                            r[d] = v;
                        }
                        case Op.LEAVE64 -> {
                            long v = m.load64(r[5]);
                            r[4] = r[5] + 8;
                            r[5] = v;
                        }
                        default -> {
                            if (cold.execute(w, ops[pc + 1], block)) {
                                c.retired += block.index[pc >> 1] + 1;
                                return;
                            }
                        }
                    }
                }
                c.retired += block.count;
                Block n = next(block, link, target);
                if (n == null || c.attention) {
                    c.rip = target;
                    return;
                }
                block = n;
            }
        } catch (Fault | Leave e) {
            locate(block, pc);
            throw e;
        } catch (RuntimeException | InternalError e) {
            locate(block, pc);
            throw e;
        }
    }

    private void locate(Block block, int pc) {
        core.rip = block.ip + block.offset[pc >> 1];
        if (!core.is64()) {
            core.rip &= 0xffffffffL;
        }
        core.retired += block.index[pc >> 1];
        core.faulted = block;
    }

    /** The block at {@code target}, if it is known and its translation still valid. */
    private @Nullable Block next(Block block, int link, long target) {
        int generation = core.mmu.generation;
        Block n = link == 1 ? block.taken : link == 2 ? block.next : null;
        if (n != null && n.generation == generation) {
            return n;
        }
        return lookUp(block, link, target, generation);
    }

    private @Nullable Block lookUp(Block block, int link, long target, int generation) {
        if ((block.mode & Core.SOLO) != 0 || block.mode != core.mode) {
            return null;
        }
        Block n = core.code.find(target, block.mode);
        if (n == null || n.generation != generation) {
            return null;
        }
        if (link == 1) {
            block.taken = n;
        } else if (link == 2) {
            block.next = n;
        }
        return n;
    }

    private static long multiply(Flags f, long a, long b) {
        long v = a * b;
        boolean overflow = Math.multiplyHigh(a, b) != v >> 63;
        f.result(v, overflow ? Flags.CF | Flags.OF : 0);
        return v;
    }

    private static long multiply32(Flags f, long v) {
        int low = (int) v;
        f.result(low, v == low ? 0 : Flags.CF | Flags.OF);
        return v & 0xffffffffL;
    }
}
