// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Operations of SSE to SSE4.2 from an XMM register or memory to an XMM register; {@link VectorMoves} has the others.
 *
 * <p>They are named by their opcode. Bits of {@code hi}: 0 to 7 opcode, 8 and 9 prefix ({@link #NONE}, {@link #P66},
 * {@link #PF3}, {@link #PF2}), 10 and 11 map (0 for 0f, 1 for 0f 38, 2 for 0f 3a), 12 the source is memory, 13 which
 * has to be aligned to 16 bytes, 14 to 18 its size in bytes, 19 REX.W, 24 to 31 the immediate.
 */
final class VectorOps {
    static final int NONE = 0;
    static final int P66 = 1;
    static final int PF3 = 2;
    static final int PF2 = 3;
    static final int MEMORY = 1 << 12;
    static final int ALIGNED = 1 << 13;
    static final int SIZE_SHIFT = 14;
    static final int WIDE = 1 << 19;
    static final int IMMEDIATE_SHIFT = 24;

    private final Core core;
    private final long[] xmm;
    private final SseFloat floats;
    private final VectorFloat packed;
    private final VectorMoves moves;
    private final Sse4 sse4;

    VectorOps(Core core) {
        this.core = core;
        xmm = core.state.fpu.xmm;
        floats = new SseFloat(core);
        packed = new VectorFloat(core, floats);
        moves = new VectorMoves(core, floats);
        sse4 = new Sse4(core, floats);
    }

    /** Raises what an SSE instruction raises in front of everything else. */
    static void available(Core core) {
        CpuState s = core.state;
        if ((s.cr0 & Core.CR0_EM) != 0 || (s.cr4 & Core.CR4_OSFXSR) == 0) {
            throw core.undefined();
        }
        if ((s.cr0 & Core.CR0_TS) != 0) {
            throw core.fault(Fault.NM, -1);
        }
    }

    void execute(long w, long address) {
        available(core);
        int hi = (int) (w >> 32);
        if (((int) w & 0x3ff) == Op.VECTOR_MOVE) {
            moves.execute(w, address);
            return;
        }
        int d = ((int) (w >>> 10) & 31) * 2;
        long low;
        long high = 0;
        if ((hi & MEMORY) == 0) {
            int s = ((int) (w >>> 15) & 31) * 2;
            low = xmm[s];
            high = xmm[s + 1];
        } else {
            int size = hi >> SIZE_SHIFT & 31;
            if (size == 16) {
                if ((hi & ALIGNED) != 0 && (address & 15) != 0) {
                    throw core.gp(0);
                }
                low = core.mmu.load64(address);
                high = core.mmu.load64(core.is64() ? address + 8 : address + 8 & 0xffffffffL);
            } else {
                low = core.mmu.load(address, size);
            }
        }
        if ((hi >> 10 & 3) == 0) {
            twoByte(hi & 255, hi >> 8 & 3, hi >>> IMMEDIATE_SHIFT, d, low, high);
        } else {
            sse4.execute(hi, d, low, high);
        }
    }

    private void set(int d, long low, long high) {
        xmm[d] = low;
        xmm[d + 1] = high;
    }

    private void twoByte(int opcode, int prefix, int immediate, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        switch (opcode) {
            case 0x10, 0x28, 0x6f, 0xf0 -> set(d, low, high); // movups, movaps, movdqa, movdqu, lddqu
            case 0x12 -> { // movsldup, movddup
                if (prefix == PF2) {
                    set(d, low, low);
                } else {
                    set(d, low << 32 | (low & 0xffffffffL), high << 32 | (high & 0xffffffffL));
                }
            }
            case 0x16 -> set(d, low >>> 32 | (low & -1L << 32), high >>> 32 | (high & -1L << 32)); // movshdup
            case 0x7e -> set(d, low, 0); // movq
            case 0x54 -> set(d, a & low, b & high); // andps
            case 0x55 -> set(d, ~a & low, ~b & high); // andnps
            case 0x56 -> set(d, a | low, b | high); // orps
            case 0x57 -> set(d, a ^ low, b ^ high); // xorps
            case 0x14 -> { // unpcklps, unpcklpd
                if (prefix == P66) {
                    set(d, a, low);
                } else {
                    set(d, PackedInteger.interleave(a, low, 32), PackedInteger.interleave(a >>> 32, low >>> 32, 32));
                }
            }
            case 0x15 -> { // unpckhps, unpckhpd
                if (prefix == P66) {
                    set(d, b, high);
                } else {
                    set(d, PackedInteger.interleave(b, high, 32), PackedInteger.interleave(b >>> 32, high >>> 32, 32));
                }
            }
            case 0x60, 0x61, 0x62 -> { // punpcklbw, punpcklwd, punpckldq
                int width = 8 << (opcode & 3);
                set(d, PackedInteger.interleave(a, low, width), PackedInteger.interleave(a >>> 32, low >>> 32, width));
            }
            case 0x68, 0x69, 0x6a -> { // punpckhbw, punpckhwd, punpckhdq
                int width = 8 << (opcode & 3);
                set(d, PackedInteger.interleave(b, high, width), PackedInteger.interleave(b >>> 32, high >>> 32, width));
            }
            case 0x6c -> set(d, a, low); // punpcklqdq
            case 0x6d -> set(d, b, high); // punpckhqdq
            case 0x63 -> pack(d, 16, true, low, high); // packsswb
            case 0x67 -> pack(d, 16, false, low, high); // packuswb
            case 0x6b -> pack(d, 32, true, low, high); // packssdw
            case 0x70 -> shuffle(prefix, immediate, d, low, high);
            case 0xc6 -> shuffleFloats(prefix, immediate, d, low, high);
            case 0xd1, 0xd2, 0xd3, 0xe1, 0xe2, 0xf1, 0xf2, 0xf3 -> { // psrlw to psllq by a register
                int kind = opcode >> 4 == 13 ? 2 : opcode >> 4 == 14 ? 4 : 6;
                int width = 8 << (opcode & 3);
                set(d, PackedInteger.shift(kind, width, a, low), PackedInteger.shift(kind, width, b, low));
            }
            case 0x51, 0x52, 0x53, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x7c, 0x7d, 0xc2, 0xd0, 0xe6 ->
                packed.execute(opcode, prefix, immediate, d, low, high);
            default -> set(d, PackedInteger.half(opcode, a, low), PackedInteger.half(opcode, b, high));
        }
    }

    private void pack(int d, int width, boolean signed, long low, long high) {
        long first = PackedInteger.pack(xmm[d], width, signed) | PackedInteger.pack(xmm[d + 1], width, signed) << 32;
        long second = PackedInteger.pack(low, width, signed) | PackedInteger.pack(high, width, signed) << 32;
        set(d, first, second);
    }

    private static long word(long v, int i) {
        return v >>> ((i & 3) * 16) & 0xffff;
    }

    private static long shuffleWords(long v, int order) {
        return word(v, order) | word(v, order >> 2) << 16 | word(v, order >> 4) << 32 | word(v, order >> 6) << 48;
    }

    private static long pick(long low, long high, int i) {
        return ((i & 2) == 0 ? low : high) >>> ((i & 1) * 32) & 0xffffffffL;
    }

    private void shuffle(int prefix, int order, int d, long low, long high) {
        switch (prefix) {
            case P66 -> set( // pshufd
                    d,
                    pick(low, high, order) | pick(low, high, order >> 2) << 32,
                    pick(low, high, order >> 4) | pick(low, high, order >> 6) << 32);
            case PF3 -> set(d, low, shuffleWords(high, order)); // pshufhw
            default -> set(d, shuffleWords(low, order), high); // pshuflw
        }
    }

    private void shuffleFloats(int prefix, int order, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        if (prefix == P66) {
            set(d, (order & 1) == 0 ? a : b, (order & 2) == 0 ? low : high);
        } else {
            set(
                    d,
                    pick(a, b, order) | pick(a, b, order >> 2) << 32,
                    pick(low, high, order >> 4) | pick(low, high, order >> 6) << 32);
        }
    }
}
