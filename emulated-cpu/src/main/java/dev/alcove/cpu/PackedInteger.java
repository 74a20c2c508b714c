// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The operations of the two-byte map on packed integers that treat each 64 bits of a register alike. */
final class PackedInteger {
    private static final long BYTE_SIGNS = 0x8080808080808080L;
    private static final long WORD_SIGNS = 0x8000800080008000L;
    private static final long INT_SIGNS = 0x8000000080000000L;

    private PackedInteger() {}

    /** Computes half a register: {@code a} is the destination, {@code b} the source. */
    static long half(int opcode, long a, long b) {
        return switch (opcode) {
            case 0xdb -> a & b; // pand
            case 0xdf -> ~a & b; // pandn
            case 0xeb -> a | b; // por
            case 0xef -> a ^ b; // pxor
            case 0xfc -> add(a, b, BYTE_SIGNS); // paddb
            case 0xfd -> add(a, b, WORD_SIGNS); // paddw
            case 0xfe -> add(a, b, INT_SIGNS); // paddd
            case 0xd4 -> a + b; // paddq
            case 0xf8 -> subtract(a, b, BYTE_SIGNS); // psubb
            case 0xf9 -> subtract(a, b, WORD_SIGNS); // psubw
            case 0xfa -> subtract(a, b, INT_SIGNS); // psubd
            case 0xfb -> a - b; // psubq
            case 0x74 -> equalBytes(a, b); // pcmpeqb
            case 0xf4 -> (a & 0xffffffffL) * (b & 0xffffffffL); // pmuludq
            case 0xf6 -> sumOfDifferences(a, b); // psadbw
            case 0xf5 -> multiplyAdd(a, b); // pmaddwd
            case 0x66, 0x76 -> ints(opcode, a, b);
            case 0x64, 0xd8, 0xda, 0xdc, 0xde, 0xe0, 0xe8, 0xec -> bytes(opcode, a, b);
            default -> words(opcode, a, b);
        };
    }

    private static long add(long a, long b, long signs) {
        return (a & ~signs) + (b & ~signs) ^ ((a ^ b) & signs);
    }

    private static long subtract(long a, long b, long signs) {
        return (a | signs) - (b & ~signs) ^ ((a ^ ~b) & signs);
    }

    private static long equalBytes(long a, long b) {
        long x = a ^ b;
        long zero = ~((x & ~BYTE_SIGNS) + ~BYTE_SIGNS | x | ~BYTE_SIGNS);
        return (zero >>> 7) * 255;
    }

    private static long ints(int opcode, long a, long b) {
        boolean low = opcode == 0x76 ? (int) a == (int) b : (int) a > (int) b;
        boolean high = opcode == 0x76 ? a >>> 32 == b >>> 32 : a >> 32 > b >> 32;
        return (low ? 0xffffffffL : 0) | (high ? 0xffffffffL << 32 : 0);
    }

    private static long bytes(int opcode, long a, long b) {
        long v = 0;
        for (int i = 0; i < 64; i += 8) {
            v |= (one(opcode, (byte) (a >>> i), (byte) (b >>> i)) & 255L) << i;
        }
        return v;
    }

    private static int one(int opcode, byte x, byte y) {
        int ux = x & 255;
        int uy = y & 255;
        return switch (opcode) {
            case 0x64 -> x > y ? 255 : 0; // pcmpgtb
            case 0xd8 -> Math.max(ux - uy, 0); // psubusb
            case 0xda -> Math.min(ux, uy); // pminub
            case 0xdc -> Math.min(ux + uy, 255); // paddusb
            case 0xde -> Math.max(ux, uy); // pmaxub
            case 0xe0 -> (ux + uy + 1) >> 1; // pavgb
            case 0xe8 -> Math.clamp(x - y, -128, 127); // psubsb
            default -> Math.clamp(x + y, -128, 127); // paddsb
        };
    }

    private static long words(int opcode, long a, long b) {
        long v = 0;
        for (int i = 0; i < 64; i += 16) {
            v |= (word(opcode, (short) (a >>> i), (short) (b >>> i)) & 0xffffL) << i;
        }
        return v;
    }

    private static int word(int opcode, short x, short y) {
        int ux = x & 0xffff;
        int uy = y & 0xffff;
        return switch (opcode) {
            case 0x65 -> x > y ? -1 : 0; // pcmpgtw
            case 0x75 -> x == y ? -1 : 0; // pcmpeqw
            case 0xd5 -> x * y; // pmullw
            case 0xd9 -> Math.max(ux - uy, 0); // psubusw
            case 0xdd -> Math.min(ux + uy, 0xffff); // paddusw
            case 0xe3 -> (ux + uy + 1) >> 1; // pavgw
            case 0xe4 -> (int) (((long) ux * uy) >> 16); // pmulhuw
            case 0xe5 -> (x * y) >> 16; // pmulhw
            case 0xe9 -> Math.clamp(x - y, Short.MIN_VALUE, Short.MAX_VALUE); // psubsw
            case 0xea -> Math.min(x, y); // pminsw
            case 0xed -> Math.clamp(x + y, Short.MIN_VALUE, Short.MAX_VALUE); // paddsw
            case 0xee -> Math.max(x, y); // pmaxsw
            default -> throw new IllegalStateException("packed operation " + opcode);
        };
    }

    private static long sumOfDifferences(long a, long b) {
        int sum = 0;
        for (int i = 0; i < 64; i += 8) {
            sum += Math.abs((int) (a >>> i & 255) - (int) (b >>> i & 255));
        }
        return sum;
    }

    private static long multiplyAdd(long a, long b) {
        int low = (short) a * (short) b + (short) (a >>> 16) * (short) (b >>> 16);
        int high = (short) (a >>> 32) * (short) (b >>> 32) + (short) (a >>> 48) * (short) (b >>> 48);
        return (low & 0xffffffffL) | (long) high << 32;
    }

    /**
     * Shifts each element.
     *
     * @param kind 2 right, 4 right with the sign, 6 left
     * @param width of an element in bits
     * @param count unsigned
     */
    static long shift(int kind, int width, long a, long count) {
        boolean all = Long.compareUnsigned(count, width) >= 0;
        if (all && kind != 4) {
            return 0;
        }
        int n = all ? width - 1 : (int) count;
        if (width == 64) {
            return kind == 2 ? a >>> n : a << n;
        }
        long v = 0;
        long mask = (1L << width) - 1;
        for (int i = 0; i < 64; i += width) {
            long e = a >>> i & mask;
            long s = kind == 2 ? e >>> n : kind == 6 ? e << n : e << (64 - width) >> (64 - width) >> n;
            v |= (s & mask) << i;
        }
        return v;
    }

    /** Packs four words, or two ints, of {@code v} with saturation into 32 bits. */
    static long pack(long v, int width, boolean signed) {
        long result = 0;
        int to = width / 2;
        int least = signed ? -1 << (to - 1) : 0;
        int most = signed ? (1 << (to - 1)) - 1 : (1 << to) - 1;
        for (int i = 0; i < 64; i += width) {
            long e = v << (64 - width - i) >> (64 - width);
            result |= (Math.clamp(e, least, most) & (1L << to) - 1) << (i / 2);
        }
        return result;
    }

    /** Interleaves the elements of the low 32 bits of both. */
    static long interleave(long a, long b, int width) {
        long v = 0;
        long mask = (1L << width) - 1;
        for (int i = 0; i < 32; i += width) {
            v |= (a >>> i & mask) << (2 * i) | (b >>> i & mask) << (2 * i + width);
        }
        return v;
    }
}
