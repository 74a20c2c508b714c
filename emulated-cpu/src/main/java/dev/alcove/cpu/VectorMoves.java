// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Operations of SSE to SSE4.2 that store, change half a register, shift by a constant, or have to do with general
 * registers or the flags; {@code hi} is as in {@link VectorOps}.
 */
final class VectorMoves {
    private final Core core;
    private final FpuState state;
    private final long[] xmm;
    private final long[] r;
    private final SseFloat floats;

    VectorMoves(Core core, SseFloat floats) {
        this.core = core;
        state = core.state.fpu;
        xmm = state.xmm;
        r = core.r;
        this.floats = floats;
    }

    void execute(long w, long address) {
        int hi = (int) (w >> 32);
        int d = (int) (w >>> 10) & 31;
        int s = (int) (w >>> 15) & 31;
        int prefix = hi >> 8 & 3;
        int opcode = hi & 255;
        boolean memory = (hi & VectorOps.MEMORY) != 0;
        if ((hi >> 10 & 3) == 2) {
            element(opcode, hi, d, s, memory, address);
            return;
        }
        switch (opcode) {
            case 0x10 -> load(prefix, d, s, memory, address);
            case 0x11 -> store(prefix, d, s, memory, address);
            case 0x12 -> xmm[d * 2] = memory ? core.mmu.load64(address) : xmm[s * 2 + 1]; // movlps, movhlps
            case 0x16 -> xmm[d * 2 + 1] = memory ? core.mmu.load64(address) : xmm[s * 2]; // movhps, movlhps
            case 0x13 -> core.mmu.store64(address, xmm[d * 2]);
            case 0x17 -> core.mmu.store64(address, xmm[d * 2 + 1]);
            case 0x29, 0x2b, 0x7f, 0xe7 -> { // movaps, movntps, movdqa, movdqu, movntdq
                if (memory) {
                    store128(address, xmm[d * 2], xmm[d * 2 + 1], (hi & VectorOps.ALIGNED) != 0);
                } else {
                    xmm[s * 2] = xmm[d * 2];
                    xmm[s * 2 + 1] = xmm[d * 2 + 1];
                }
            }
            case 0xd6 -> { // movq
                if (memory) {
                    core.mmu.store64(address, xmm[d * 2]);
                } else {
                    xmm[s * 2] = xmm[d * 2];
                    xmm[s * 2 + 1] = 0;
                }
            }
            case 0x6e -> { // movd, movq
                int size = (hi & VectorOps.WIDE) != 0 ? 8 : 4;
                long v = memory ? core.mmu.load(address, size) : r[s] & Alu.mask(size);
                xmm[d * 2] = v;
                xmm[d * 2 + 1] = 0;
            }
            case 0x7e -> {
                int size = (hi & VectorOps.WIDE) != 0 ? 8 : 4;
                if (memory) {
                    core.mmu.store(address, size, xmm[d * 2]);
                } else {
                    r[s] = xmm[d * 2] & Alu.mask(size);
                }
            }
            case 0x2a, 0x2c, 0x2d, 0x2e, 0x2f -> convert(opcode, hi, d, s, memory, address);
            case 0x50 -> { // movmskps, movmskpd
                long low = xmm[s * 2];
                long high = xmm[s * 2 + 1];
                r[d] = prefix == VectorOps.P66
                        ? low >>> 63 | high >>> 63 << 1
                        : (low >>> 31 & 1) | low >>> 63 << 1 | (high >>> 31 & 1) << 2 | high >>> 63 << 3;
            }
            case 0xd7 -> r[d] = signs(xmm[s * 2]) | signs(xmm[s * 2 + 1]) << 8; // pmovmskb
            case 0xc4 -> { // pinsrw
                long v = memory ? core.mmu.load16(address) : r[s] & 0xffff;
                insert(d, hi >>> VectorOps.IMMEDIATE_SHIFT & 7, 16, v);
            }
            case 0xc5 -> r[d] = extract(s, hi >>> VectorOps.IMMEDIATE_SHIFT & 7, 16); // pextrw
            case 0x71, 0x72, 0x73 -> shift(opcode, d & 7, s, hi >>> VectorOps.IMMEDIATE_SHIFT);
            case 0xf7 -> storeMasked(d, s, address);
            default -> throw core.undefined();
        }
    }

    private static long signs(long v) {
        return (((v & 0x8080808080808080L) >>> 7) * 0x0102040810204080L) >>> 56;
    }

    private void store128(long address, long low, long high, boolean aligned) {
        if (aligned && (address & 15) != 0) {
            throw core.gp(0);
        }
        core.mmu.probe(address, 16);
        core.mmu.store64(address, low);
        core.mmu.store64(core.is64() ? address + 8 : address + 8 & 0xffffffffL, high);
    }

    /** movss, movsd. */
    private void load(int prefix, int d, int s, boolean memory, long address) {
        if (memory) {
            xmm[d * 2] = core.mmu.load(address, prefix == VectorOps.PF3 ? 4 : 8);
            xmm[d * 2 + 1] = 0;
        } else {
            scalar(prefix, d, s);
        }
    }

    private void scalar(int prefix, int to, int from) {
        long v = xmm[from * 2];
        xmm[to * 2] = prefix == VectorOps.PF3 ? (xmm[to * 2] & -1L << 32) | (v & 0xffffffffL) : v;
    }

    /** movups, movupd, movss, movsd. */
    private void store(int prefix, int d, int s, boolean memory, long address) {
        if (prefix < VectorOps.PF3) {
            if (memory) {
                store128(address, xmm[d * 2], xmm[d * 2 + 1], false);
            } else {
                xmm[s * 2] = xmm[d * 2];
                xmm[s * 2 + 1] = xmm[d * 2 + 1];
            }
        } else if (memory) {
            core.mmu.store(address, prefix == VectorOps.PF3 ? 4 : 8, xmm[d * 2]);
        } else {
            scalar(prefix, s, d);
        }
    }

    /** cvtsi2ss, cvttss2si, cvtss2si, ucomiss, comiss, and for doubles. */
    private void convert(int opcode, int hi, int d, int s, boolean memory, long address) {
        int prefix = hi >> 8 & 3;
        int bits = (hi & VectorOps.WIDE) != 0 ? 64 : 32;
        boolean single = prefix == VectorOps.PF3 || prefix == VectorOps.NONE;
        long v;
        if (opcode == 0x2a) {
            v = memory ? core.mmu.load(address, bits / 8) : r[s];
        } else {
            v = memory ? core.mmu.load(address, single ? 4 : 8) : xmm[s * 2];
        }
        floats.begin();
        switch (opcode) {
            case 0x2a -> {
                long n = bits == 32 ? (int) v : v;
                long result = single
                        ? (xmm[d * 2] & -1L << 32) | (floats.integerToFloat(n) & 0xffffffffL)
                        : floats.integerToDouble(n);
                floats.end();
                xmm[d * 2] = result;
            }
            case 0x2c, 0x2d -> {
                boolean truncate = opcode == 0x2c;
                long n = single ? floats.floatToInteger((int) v, bits, truncate) : floats.doubleToInteger(v, bits, truncate);
                floats.end();
                r[d] = bits == 32 ? n & 0xffffffffL : n;
            }
            default -> {
                boolean quiet = opcode == 0x2e;
                long a = xmm[d * 2];
                int flags = single ? floats.flags32((int) a, (int) v, quiet) : floats.flags64(a, v, quiet);
                floats.end();
                core.flags.explicit(flags);
            }
        }
    }

    private void insert(int d, int i, int width, long v) {
        int at = d * 2 + i * width / 64;
        int shift = i * width & 63;
        long mask = width == 64 ? -1 : (1L << width) - 1;
        xmm[at] = (xmm[at] & ~(mask << shift)) | (v & mask) << shift;
    }

    private long extract(int s, int i, int width) {
        long v = xmm[s * 2 + i * width / 64] >>> (i * width & 63);
        return width == 64 ? v : v & (1L << width) - 1;
    }

    /** pextrb to pextrq, extractps, pinsrb, pinsrd, pinsrq. */
    private void element(int opcode, int hi, int d, int s, boolean memory, long address) {
        int width = switch (opcode) {
            case 0x14, 0x20 -> 8;
            case 0x15 -> 16;
            case 0x17 -> 32;
            default -> (hi & VectorOps.WIDE) != 0 ? 64 : 32;
        };
        int i = (hi >>> VectorOps.IMMEDIATE_SHIFT) & 128 / width - 1;
        if (opcode >= 0x20) {
            insert(d, i, width, memory ? core.mmu.load(address, width / 8) : r[s]);
        } else if (memory) {
            core.mmu.store(address, width / 8, extract(d, i, width));
        } else {
            r[s] = extract(d, i, width);
        }
    }

    /** Shifts by a constant: groups 12, 13 and 14. */
    private void shift(int opcode, int kind, int s, int count) {
        long a = xmm[s * 2];
        long b = xmm[s * 2 + 1];
        int bits = count * 8;
        if (kind == 7) { // pslldq
            xmm[s * 2 + 1] = bits >= 128 ? 0 : bits >= 64 ? a << (bits - 64) : bits == 0 ? b : b << bits | a >>> (64 - bits);
            xmm[s * 2] = bits >= 64 ? 0 : a << bits;
        } else if (kind == 3) { // psrldq
            xmm[s * 2] = bits >= 128 ? 0 : bits >= 64 ? b >>> (bits - 64) : bits == 0 ? a : a >>> bits | b << (64 - bits);
            xmm[s * 2 + 1] = bits >= 64 ? 0 : b >>> bits;
        } else {
            int width = 8 << (opcode - 0x70);
            xmm[s * 2] = PackedInteger.shift(kind, width, a, count);
            xmm[s * 2 + 1] = PackedInteger.shift(kind, width, b, count);
        }
    }

    /** maskmovdqu: the bytes whose mask has its top bit set. */
    private void storeMasked(int d, int s, long address) {
        for (int i = 0; i < 16; i++) {
            if ((xmm[s * 2 + i / 8] >>> ((i & 7) * 8 + 7) & 1) != 0) {
                core.mmu.probe(address + i, 1);
            }
        }
        for (int i = 0; i < 16; i++) {
            if ((xmm[s * 2 + i / 8] >>> ((i & 7) * 8 + 7) & 1) != 0) {
                core.mmu.store8(address + i, xmm[d * 2 + i / 8] >>> ((i & 7) * 8));
            }
        }
    }
}
