// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** SSSE3, SSE4.1, SSE4.2, AES and PCLMULQDQ: the maps 0f 38 and 0f 3a; {@code hi} is as in {@link VectorOps}. */
final class Sse4 {
    private final Core core;
    private final long[] xmm;
    private final SseFloat floats;
    private final Aes aes = new Aes();

    Sse4(Core core, SseFloat floats) {
        this.core = core;
        xmm = core.state.fpu.xmm;
        this.floats = floats;
    }

    private void set(int d, long low, long high) {
        xmm[d] = low;
        xmm[d + 1] = high;
    }

    void execute(int hi, int d, long low, long high) {
        int opcode = hi & 255;
        if ((hi >> 10 & 3) == 1) {
            map38(opcode, d, low, high);
        } else {
            map3a(opcode, hi, hi >>> VectorOps.IMMEDIATE_SHIFT, d, low, high);
        }
    }

    private void map38(int opcode, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        switch (opcode) {
            case 0x00 -> set(d, shuffleBytes(a, b, low), shuffleBytes(a, b, high)); // pshufb
            case 0x01, 0x02, 0x03, 0x05, 0x06, 0x07 -> // phaddw, phaddd, phaddsw, phsubw, phsubd, phsubsw
                set(d, across(opcode, a) | across(opcode, b) << 32, across(opcode, low) | across(opcode, high) << 32);
            case 0x10 -> { // pblendvb
                set(d, blend(xmm[0], 8, a, low), blend(xmm[1], 8, b, high));
            }
            case 0x14 -> set(d, blend(xmm[0], 32, a, low), blend(xmm[1], 32, b, high)); // blendvps
            case 0x15 -> set(d, blend(xmm[0], 64, a, low), blend(xmm[1], 64, b, high)); // blendvpd
            case 0x17 -> { // ptest
                boolean zero = (a & low) == 0 && (b & high) == 0;
                boolean carry = (~a & low) == 0 && (~b & high) == 0;
                core.flags.explicit((zero ? Flags.ZF : 0) | (carry ? Flags.CF : 0));
            }
            case 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35 -> { // pmovsx, pmovzx
                int from = (opcode & 7) < 3 ? 8 : (opcode & 7) < 5 ? 16 : 32;
                int to = switch (opcode & 7) {
                    case 0 -> 16;
                    case 1, 3 -> 32;
                    default -> 64;
                };
                boolean signed = opcode < 0x30;
                set(d, widen(low, from, to, signed), widen(low >>> (from * 64 / to), from, to, signed));
            }
            case 0x28 -> set(d, (long) (int) a * (int) low, (long) (int) b * (int) high); // pmuldq
            case 0x29 -> set(d, a == low ? -1 : 0, b == high ? -1 : 0); // pcmpeqq
            case 0x2a -> set(d, low, high); // movntdqa
            case 0x2b -> set( // packusdw
                    d,
                    PackedInteger.pack(a, 32, false) | PackedInteger.pack(b, 32, false) << 32,
                    PackedInteger.pack(low, 32, false) | PackedInteger.pack(high, 32, false) << 32);
            case 0x37 -> set(d, a > low ? -1 : 0, b > high ? -1 : 0); // pcmpgtq
            case 0x41 -> { // phminposuw
                long least = 0xffff;
                int at = 0;
                for (int i = 7; i >= 0; i--) {
                    long v = (i < 4 ? low : high) >>> ((i & 3) * 16) & 0xffff;
                    if (v <= least) {
                        least = v;
                        at = i;
                    }
                }
                set(d, least | (long) at << 16, 0);
            }
            case 0xdb, 0xdc, 0xdd, 0xde, 0xdf -> {
                aes.round(opcode, a, b, low, high);
                set(d, aes.low, aes.high);
            }
            default -> set(d, half(opcode, a, low), half(opcode, b, high));
        }
    }

    private static long shuffleBytes(long a, long b, long order) {
        long v = 0;
        for (int i = 0; i < 64; i += 8) {
            int k = (int) (order >>> i);
            if ((k & 0x80) == 0) {
                v |= (((k & 8) == 0 ? a : b) >>> ((k & 7) * 8) & 255) << i;
            }
        }
        return v;
    }

    /** Adds or subtracts neighbours: 32 bits of result from 64. */
    private static long across(int opcode, long v) {
        if ((opcode & 3) == 2) {
            int sum = opcode == 2 ? (int) v + (int) (v >> 32) : (int) v - (int) (v >> 32);
            return sum & 0xffffffffL;
        }
        return neighbours(opcode, (int) v) | neighbours(opcode, (int) (v >> 32)) << 16;
    }

    private static long neighbours(int opcode, int v) {
        int x = (short) v;
        int y = v >> 16;
        int sum = opcode < 4 ? x + y : x - y;
        return ((opcode & 3) == 3 ? Math.clamp(sum, Short.MIN_VALUE, Short.MAX_VALUE) : sum) & 0xffffL;
    }

    /** Takes the elements of {@code b} whose mask has its top bit set, the others of {@code a}. */
    private static long blend(long mask, int width, long a, long b) {
        long chosen = PackedInteger.shift(4, width, mask, width);
        if (width == 64) {
            chosen = mask >> 63;
        }
        return (a & ~chosen) | (b & chosen);
    }

    private static long widen(long v, int from, int to, boolean signed) {
        long result = 0;
        for (int i = 0; i < 64 / to; i++) {
            long e = v << (64 - from - i * from);
            e = signed ? e >> (64 - from) : e >>> (64 - from);
            result |= (to == 64 ? e : e & (1L << to) - 1) << (i * to);
        }
        return result;
    }

    private static long half(int opcode, long a, long b) {
        int width = switch (opcode) {
            case 0x04, 0x08, 0x1c, 0x38, 0x3c -> 8;
            case 0x0b, 0x09, 0x1d, 0x3a, 0x3e -> 16;
            default -> 32;
        };
        long v = 0;
        if (opcode == 0x04) { // pmaddubsw
            for (int i = 0; i < 64; i += 16) {
                int x = (int) (a >>> i & 255) * (byte) (b >>> i);
                int y = (int) (a >>> (i + 8) & 255) * (byte) (b >>> (i + 8));
                v |= (Math.clamp(x + y, Short.MIN_VALUE, Short.MAX_VALUE) & 0xffffL) << i;
            }
            return v;
        }
        long mask = (1L << width) - 1;
        for (int i = 0; i < 64; i += width) {
            long x = a << (64 - width - i) >> (64 - width);
            long y = b << (64 - width - i) >> (64 - width);
            v |= (element(opcode, x, y, mask) & mask) << i;
        }
        return v;
    }

    private static long element(int opcode, long x, long y, long mask) {
        return switch (opcode) {
            case 0x08, 0x09, 0x0a -> y < 0 ? -x : y == 0 ? 0 : x; // psign
            case 0x0b -> (((x * y) >> 14) + 1) >> 1; // pmulhrsw
            case 0x1c, 0x1d, 0x1e -> Math.abs(y); // pabs
            case 0x38, 0x39 -> Math.min(x, y); // pminsb, pminsd
            case 0x3a, 0x3b -> Math.min(x & mask, y & mask); // pminuw, pminud
            case 0x3c, 0x3d -> Math.max(x, y); // pmaxsb, pmaxsd
            case 0x3e, 0x3f -> Math.max(x & mask, y & mask); // pmaxuw, pmaxud
            case 0x40 -> x * y; // pmulld
            default -> throw new IllegalStateException("packed operation 38 " + opcode);
        };
    }

    private void map3a(int opcode, int hi, int immediate, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        switch (opcode) {
            case 0x08, 0x09, 0x0a, 0x0b -> round(opcode, immediate, d, low, high);
            case 0x0c -> set(d, blend(spread(immediate, 32), 32, a, low), blend(spread(immediate >> 2, 32), 32, b, high));
            case 0x0d -> set(d, (immediate & 1) != 0 ? low : a, (immediate & 2) != 0 ? high : b);
            case 0x0e -> set(d, blend(spread(immediate, 16), 16, a, low), blend(spread(immediate >> 4, 16), 16, b, high));
            case 0x0f -> align(immediate, d, low, high);
            case 0x21 -> insertFloat(hi, immediate, d, low, high);
            case 0x40 -> { // dpps
                floats.begin();
                int x = product(immediate, 0, a, low);
                int y = product(immediate, 1, a >> 32, low >> 32);
                int z = product(immediate, 2, b, high);
                int w = product(immediate, 3, b >> 32, high >> 32);
                next();
                int first = floats.arithmetic32(0x58, x, y);
                int second = floats.arithmetic32(0x58, z, w);
                next();
                int sum = floats.arithmetic32(0x58, first, second);
                floats.end();
                long v = sum & 0xffffffffL;
                set(
                        d,
                        ((immediate & 1) != 0 ? v : 0) | ((immediate & 2) != 0 ? v << 32 : 0),
                        ((immediate & 4) != 0 ? v : 0) | ((immediate & 8) != 0 ? v << 32 : 0));
            }
            case 0x41 -> { // dppd
                floats.begin();
                long x = (immediate & 16) != 0 ? floats.arithmetic64(0x59, a, low) : 0;
                long y = (immediate & 32) != 0 ? floats.arithmetic64(0x59, b, high) : 0;
                next();
                long sum = floats.arithmetic64(0x58, x, y);
                floats.end();
                set(d, (immediate & 1) != 0 ? sum : 0, (immediate & 2) != 0 ? sum : 0);
            }
            case 0x42 -> differences(immediate, d, low, high);
            case 0x44 -> { // pclmulqdq
                long x = (immediate & 1) == 0 ? a : b;
                long y = (immediate & 16) == 0 ? low : high;
                long l = 0;
                long h = 0;
                for (int i = 0; i < 64; i++) {
                    if ((y >>> i & 1) != 0) {
                        l ^= x << i;
                        h ^= i == 0 ? 0 : x >>> (64 - i);
                    }
                }
                set(d, l, h);
            }
            case 0x60, 0x61, 0x62, 0x63 ->
                StringCompare.execute(core, opcode, immediate, (hi & VectorOps.WIDE) != 0, a, b, low, high);
            case 0xdf -> {
                aes.keyAssist(immediate, low, high);
                set(d, aes.low, aes.high);
            }
            default -> throw core.undefined();
        }
    }

    /** Exceptions are raised after each step of a dot product. */
    private void next() {
        floats.end();
        floats.begin();
    }

    private int product(int immediate, int i, long x, long y) {
        return (immediate >> (4 + i) & 1) != 0 ? floats.arithmetic32(0x59, (int) x, (int) y) : 0;
    }

    /** Puts bit i into the top of element i. */
    private static long spread(int bits, int width) {
        long v = 0;
        for (int i = 0; i < 64 / width; i++) {
            v |= (long) (bits >> i & 1) << (i * width + width - 1);
        }
        return v;
    }

    /** roundps, roundpd, roundss, roundsd. */
    private void round(int opcode, int how, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        floats.begin();
        switch (opcode) {
            case 0x08 -> {
                a = roundBoth(low, how);
                b = roundBoth(high, how);
            }
            case 0x09 -> {
                a = floats.round64(low, how);
                b = floats.round64(high, how);
            }
            case 0x0a -> a = (a & -1L << 32) | (floats.round32((int) low, how) & 0xffffffffL);
            default -> a = floats.round64(low, how);
        }
        floats.end();
        set(d, a, b);
    }

    private long roundBoth(long v, int how) {
        return (floats.round32((int) v, how) & 0xffffffffL) | (long) floats.round32((int) (v >> 32), how) << 32;
    }

    /** palignr: 16 bytes out of destination and source. */
    private void align(int bytes, int d, long low, long high) {
        long[] v = {low, high, xmm[d], xmm[d + 1], 0, 0, 0};
        int at = Math.min(bytes, 32) / 8;
        int shift = bytes % 8 * 8;
        if (bytes >= 32) {
            set(d, 0, 0);
        } else if (shift == 0) {
            set(d, v[at], v[at + 1]);
        } else {
            set(
                    d,
                    v[at] >>> shift | v[at + 1] << (64 - shift),
                    v[at + 1] >>> shift | v[at + 2] << (64 - shift));
        }
    }

    /** insertps. */
    private void insertFloat(int hi, int immediate, int d, long low, long high) {
        int from = (hi & VectorOps.MEMORY) != 0 ? 0 : immediate >> 6 & 3;
        long v = (from < 2 ? low : high) >>> ((from & 1) * 32) & 0xffffffffL;
        int to = immediate >> 4 & 3;
        int at = d + to / 2;
        int shift = (to & 1) * 32;
        xmm[at] = (xmm[at] & ~(0xffffffffL << shift)) | v << shift;
        for (int i = 0; i < 4; i++) {
            if ((immediate >> i & 1) != 0) {
                xmm[d + i / 2] &= ~(0xffffffffL << ((i & 1) * 32));
            }
        }
    }

    private static int byteAt(long low, long high, int i) {
        return (int) ((i < 8 ? low : high) >>> ((i & 7) * 8)) & 255;
    }

    /** mpsadbw: sums of differences of four bytes at eight places. */
    private void differences(int immediate, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        int first = (immediate & 4) != 0 ? 4 : 0;
        int second = (immediate & 3) * 4;
        long[] v = new long[2];
        for (int i = 0; i < 8; i++) {
            long sum = 0;
            for (int k = 0; k < 4; k++) {
                sum += Math.abs(byteAt(a, b, first + i + k) - byteAt(low, high, second + k));
            }
            v[i / 4] |= sum << ((i & 3) * 16);
        }
        set(d, v[0], v[1]);
    }
}
