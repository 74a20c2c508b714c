// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Decodes SSE to SSE4.2, AES and PCLMULQDQ (Intel SDM volume 2, appendix A, tables ). What an opcode takes
 * with each prefix is in {@link #KINDS}. Instructions on MMX registers are known, but not executed.
 */
final class VectorMap {
    /** Not an instruction with this prefix. */
    private static final byte UNDEFINED = 0;

    /** To XMM from XMM or 128 bits of aligned memory; the next ones from memory of other sizes. */
    private static final byte FULL = 1;

    private static final byte UNALIGNED = 2;
    private static final byte FROM8 = 3;
    private static final byte FROM4 = 4;
    private static final byte FROM2 = 5;

    /** As these, with an immediate. */
    private static final byte FULL_I = 6;

    private static final byte FROM8_I = 7;
    private static final byte FROM4_I = 8;

    /** {@link VectorMoves}: any operands; only memory; only registers; with an immediate. */
    private static final byte MOVE = 9;

    private static final byte MOVE_MEMORY = 10;
    private static final byte MOVE_REGISTER = 11;
    private static final byte MOVE_I = 12;
    private static final byte MOVE_REGISTER_I = 13;

    /** {@link VectorMoves} with aligned memory. */
    private static final byte MOVE_ALIGNED = 14;

    private static final byte MOVE_MEMORY_ALIGNED = 15;
    private static final byte MMX = 16;

    /** Kind by map, prefix and opcode. */
    private static final byte[] KINDS = kinds();

    private final Decoder x;

    VectorMap(Decoder decoder) {
        x = decoder;
    }

    private static void put(byte[] k, int map, int prefix, int kind, int... opcodes) {
        for (int o : opcodes) {
            k[map << 10 | prefix << 8 | o] = (byte) kind;
        }
    }

    private static void range(byte[] k, int map, int prefix, int kind, int first, int last) {
        for (int o = first; o <= last; o++) {
            k[map << 10 | prefix << 8 | o] = (byte) kind;
        }
    }

    private static byte[] kinds() {
        byte[] k = new byte[3 << 10];
        int np = VectorOps.NONE;
        int p66 = VectorOps.P66;
        int f3 = VectorOps.PF3;
        int f2 = VectorOps.PF2;
        range(k, 0, np, MMX, 0x60, 0x6b);
        range(k, 0, np, MMX, 0x70, 0x76);
        range(k, 0, np, MMX, 0xd1, 0xfe);
        put(k, 0, np, MMX, 0x2a, 0x2c, 0x2d, 0x6e, 0x6f, 0x7e, 0x7f, 0xc4, 0xc5);
        put(k, 0, np, UNDEFINED, 0xd6, 0xe6, 0xf0);
        put(k, 0, p66, MMX, 0x2a, 0x2c, 0x2d);
        put(k, 0, f3, MMX, 0xd6);
        put(k, 0, f2, MMX, 0xd6);
        for (int p = np; p <= p66; p++) {
            put(k, 0, p, UNALIGNED, 0x10);
            put(k, 0, p, FULL, 0x14, 0x15, 0x28, 0x51, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f);
            put(k, 0, p, FULL_I, 0xc2, 0xc6);
            put(k, 0, p, MOVE, 0x11, 0x12, 0x16, 0x2e, 0x2f);
            put(k, 0, p, MOVE_MEMORY, 0x13, 0x17);
            put(k, 0, p, MOVE_ALIGNED, 0x29);
            put(k, 0, p, MOVE_MEMORY_ALIGNED, 0x2b);
            put(k, 0, p, MOVE_REGISTER, 0x50);
        }
        for (int p = f3; p <= f2; p++) {
            int from = p == f3 ? FROM4 : FROM8;
            put(k, 0, p, MOVE, 0x10, 0x11, 0x2a, 0x2c, 0x2d);
            put(k, 0, p, from, 0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f);
            put(k, 0, p, p == f3 ? FROM4_I : FROM8_I, 0xc2);
            put(k, 0, p, FULL_I, 0x70);
        }
        put(k, 0, np, FULL, 0x52, 0x53, 0x5b);
        put(k, 0, np, FROM8, 0x5a);
        put(k, 0, p66, MOVE_MEMORY, 0x12, 0x16);
        put(k, 0, p66, FULL, 0x5a, 0x5b, 0x7c, 0x7d, 0xd0, 0xe6, 0x6f);
        range(k, 0, p66, FULL, 0x60, 0x6d);
        put(k, 0, p66, FULL_I, 0x70);
        put(k, 0, p66, MOVE_REGISTER_I, 0x71, 0x72, 0x73, 0xc5);
        put(k, 0, p66, MOVE_I, 0xc4);
        range(k, 0, p66, FULL, 0x74, 0x76);
        range(k, 0, p66, FULL, 0xd1, 0xef);
        range(k, 0, p66, FULL, 0xf1, 0xfe);
        put(k, 0, p66, MOVE, 0x6e, 0x7e, 0xd6);
        put(k, 0, p66, MOVE_REGISTER, 0xd7, 0xf7);
        put(k, 0, p66, MOVE_ALIGNED, 0x7f);
        put(k, 0, p66, MOVE_MEMORY_ALIGNED, 0xe7);
        put(k, 0, f3, FROM4, 0x52, 0x53);
        put(k, 0, f3, FULL, 0x12, 0x16, 0x5b);
        put(k, 0, f3, UNALIGNED, 0x6f);
        put(k, 0, f3, FROM8, 0x7e, 0xe6);
        put(k, 0, f3, MOVE, 0x7f);
        put(k, 0, f2, FROM8, 0x12);
        put(k, 0, f2, FULL, 0x7c, 0x7d, 0xd0, 0xe6);
        put(k, 0, f2, UNALIGNED, 0xf0);
        range(k, 1, np, MMX, 0x00, 0x0b);
        range(k, 1, np, MMX, 0x1c, 0x1e);
        range(k, 1, p66, FULL, 0x00, 0x0b);
        range(k, 1, p66, FULL, 0x1c, 0x1e);
        put(k, 1, p66, FULL, 0x10, 0x14, 0x15, 0x17, 0x28, 0x29, 0x2a, 0x2b, 0x40, 0x41);
        for (int row = 0x20; row <= 0x30; row += 0x10) {
            put(k, 1, p66, FROM8, row, row + 3, row + 5);
            put(k, 1, p66, FROM4, row + 1, row + 4);
            put(k, 1, p66, FROM2, row + 2);
        }
        range(k, 1, p66, FULL, 0x37, 0x3f);
        range(k, 1, p66, FULL, 0xdb, 0xdf);
        put(k, 2, np, MMX, 0x0f);
        put(k, 2, p66, FULL_I, 0x08, 0x09, 0x0c, 0x0d, 0x0e, 0x0f, 0x40, 0x41, 0x42, 0x44, 0xdf);
        put(k, 2, p66, FROM4_I, 0x0a, 0x21);
        put(k, 2, p66, FROM8_I, 0x0b);
        put(k, 2, p66, MOVE_I, 0x14, 0x15, 0x16, 0x17, 0x20, 0x22);
        return k;
    }

    /** Decodes the instruction of a map (0 for 0f, 1 for 0f 38, 2 for 0f 3a). */
    void decode(int map, int opcode) {
        int prefix = x.repeat == 0xf3
                ? VectorOps.PF3
                : x.repeat == 0xf2 ? VectorOps.PF2 : x.operandPrefix ? VectorOps.P66 : VectorOps.NONE;
        int key = map << 10 | prefix << 8 | opcode;
        int kind = KINDS[key];
        if (map == 2 && opcode >= 0x60 && opcode <= 0x63 && prefix == VectorOps.P66) {
            kind = FULL_I;
            key |= 1 << 30;
        }
        if (kind == UNDEFINED) {
            throw x.undefined();
        }
        x.modRm();
        if (kind == MMX) {
            if (map == 2 || opcode == 0x70 || opcode == 0xc4 || opcode == 0xc5 || (opcode >= 0x71 && opcode <= 0x73)) {
                x.fetch8();
            }
            x.emit(Op.FPU, 0, 0, 1, 0);
            return;
        }
        if ((x.rex & 8) != 0) {
            key |= VectorOps.WIDE;
        }
        if (kind >= MOVE) {
            move(kind, key);
        } else {
            compute(kind, key);
        }
    }

    private int immediate() {
        return x.fetch8() << VectorOps.IMMEDIATE_SHIFT;
    }

    /** SSE registers have no halves like AH: their numbers are those of ModRM and REX. */
    private void compute(int kind, int key) {
        boolean unaligned = kind == UNALIGNED || (key >> 30 & 1) != 0;
        int hi = key & ~(1 << 30);
        if (kind >= FULL_I) {
            hi |= immediate();
        }
        if (!x.isMemory()) {
            x.emit(Op.VECTOR, x.reg, x.rm, hi, 0);
            return;
        }
        int size = switch (kind) {
            case FROM8, FROM8_I -> 8;
            case FROM4, FROM4_I -> 4;
            case FROM2 -> 2;
            default -> 16;
        };
        hi |= VectorOps.MEMORY | size << VectorOps.SIZE_SHIFT | (size == 16 && !unaligned ? VectorOps.ALIGNED : 0);
        x.emitMemory(Op.VECTOR, x.reg, 0, hi, size, false);
    }

    private void move(int kind, int key) {
        boolean memory = x.isMemory();
        boolean registerOnly = kind == MOVE_REGISTER || kind == MOVE_REGISTER_I;
        boolean memoryOnly = kind == MOVE_MEMORY || kind == MOVE_MEMORY_ALIGNED;
        if (memory ? registerOnly : memoryOnly) {
            throw x.undefined();
        }
        int opcode = key & 255;
        int hi = key;
        if (kind == MOVE_I || kind == MOVE_REGISTER_I) {
            hi |= immediate();
        }
        if (key >> 10 == 0 && opcode >= 0x71 && opcode <= 0x73) {
            int shift = x.reg & 7;
            boolean valid = shift == 2 || shift == 6 || (shift == 4 && opcode != 0x73)
                    || ((shift == 3 || shift == 7) && opcode == 0x73);
            if (!valid) {
                throw x.undefined();
            }
        }
        if (opcode == 0xf7 && key >> 10 == 0) { // maskmovdqu stores at RDI
            int s = x.rm;
            x.indexed(7, Core.ZERO);
            x.emitMemory(Op.VECTOR_MOVE, x.reg, s, hi, 16, true);
            return;
        }
        if (!memory) {
            x.emit(Op.VECTOR_MOVE, x.reg, x.rm, hi, 0);
            return;
        }
        hi |= VectorOps.MEMORY;
        if (kind == MOVE_ALIGNED || kind == MOVE_MEMORY_ALIGNED) {
            hi |= VectorOps.ALIGNED;
        }
        x.emitMemory(Op.VECTOR_MOVE, x.reg, 0, hi, accessSize(key), isStore(key));
    }

    /** Bytes of memory that the instruction accesses, for limit checks. */
    private static int accessSize(int key) {
        int prefix = key >> 8 & 3;
        boolean wide = (key & VectorOps.WIDE) != 0;
        if ((key >> 10 & 3) == 2) {
            return switch (key & 255) {
                case 0x14, 0x20 -> 1;
                case 0x15 -> 2;
                case 0x17 -> 4;
                default -> wide ? 8 : 4;
            };
        }
        return switch (key & 255) {
            case 0x10 -> prefix == VectorOps.PF3 ? 4 : 8;
            case 0x11 -> prefix < VectorOps.PF3 ? 16 : prefix == VectorOps.PF3 ? 4 : 8;
            case 0x12, 0x13, 0x16, 0x17, 0xd6 -> 8;
            case 0x2a, 0x6e, 0x7e -> wide ? 8 : 4;
            case 0x2c, 0x2d -> prefix == VectorOps.PF3 ? 4 : 8;
            case 0x2e, 0x2f -> prefix == VectorOps.NONE ? 4 : 8;
            case 0xc4 -> 2;
            default -> 16;
        };
    }

    private static boolean isStore(int key) {
        int opcode = key & 255;
        if ((key >> 10 & 3) == 2) {
            return opcode < 0x20;
        }
        return switch (opcode) {
            case 0x11, 0x13, 0x17, 0x29, 0x2b, 0x7e, 0x7f, 0xd6, 0xe7 -> true;
            default -> false;
        };
    }
}
