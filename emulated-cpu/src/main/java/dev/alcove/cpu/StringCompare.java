// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** pcmpestrm, pcmpestri, pcmpistrm, pcmpistri (Intel SDM volume 2, 4.1). */
final class StringCompare {
    private StringCompare() {}

    /**
     * Compares the elements of two registers and sets ECX or XMM0, and the flags.
     *
     * @param opcode 0x60 to 0x63 of the map 0f 3a
     * @param wide the lengths are in RAX and RDX, not EAX and EDX
     */
    static void execute(
            Core core, int opcode, int how, boolean wide, long aLow, long aHigh, long bLow, long bHigh) {
        boolean words = (how & 1) != 0;
        boolean signed = (how & 2) != 0;
        int n = words ? 8 : 16;
        int[] a = elements(aLow, aHigh, n, signed);
        int[] b = elements(bLow, bHigh, n, signed);
        boolean explicit = opcode < 0x62;
        int aCount = explicit ? length(core.r[0], wide, n) : implicit(a);
        int bCount = explicit ? length(core.r[2], wide, n) : implicit(b);
        int result = aggregate(how >> 2 & 3, a, aCount, b, bCount, n);
        if ((how & 0x10) != 0) {
            result ^= (how & 0x20) != 0 ? (1 << bCount) - 1 : (1 << n) - 1;
        }
        core.flags.explicit((result != 0 ? Flags.CF : 0)
                | (bCount < n ? Flags.ZF : 0)
                | (aCount < n ? Flags.SF : 0)
                | ((result & 1) != 0 ? Flags.OF : 0));
        if ((opcode & 1) != 0) {
            boolean last = (how & 0x40) != 0;
            core.r[1] = result == 0
                    ? n
                    : last ? 31 - Integer.numberOfLeadingZeros(result) : Integer.numberOfTrailingZeros(result);
        } else if ((how & 0x40) == 0) {
            core.state.fpu.xmm[0] = result;
            core.state.fpu.xmm[1] = 0;
        } else {
            long[] v = new long[2];
            int width = words ? 16 : 8;
            for (int i = 0; i < n; i++) {
                if ((result >> i & 1) != 0) {
                    v[i * width / 64] |= ((1L << width) - 1) << (i * width & 63);
                }
            }
            core.state.fpu.xmm[0] = v[0];
            core.state.fpu.xmm[1] = v[1];
        }
    }

    private static int[] elements(long low, long high, int n, boolean signed) {
        int[] e = new int[n];
        for (int i = 0; i < n; i++) {
            if (n == 8) {
                int v = (int) ((i < 4 ? low : high) >>> ((i & 3) * 16));
                e[i] = signed ? (short) v : v & 0xffff;
            } else {
                int v = (int) ((i < 8 ? low : high) >>> ((i & 7) * 8));
                e[i] = signed ? (byte) v : v & 0xff;
            }
        }
        return e;
    }

    private static int length(long register, boolean wide, int n) {
        long v = wide ? register : (int) register;
        return v == Long.MIN_VALUE ? n : (int) Math.min(Math.abs(v), n);
    }

    private static int implicit(int[] e) {
        for (int i = 0; i < e.length; i++) {
            if (e[i] == 0) {
                return i;
            }
        }
        return e.length;
    }

    private static int aggregate(int kind, int[] a, int aCount, int[] b, int bCount, int n) {
        int result = 0;
        for (int j = 0; j < n; j++) {
            boolean hit;
            switch (kind) {
                case 0 -> { // equal any
                    hit = false;
                    for (int i = 0; i < aCount && j < bCount; i++) {
                        hit |= a[i] == b[j];
                    }
                }
                case 1 -> { // ranges
                    hit = false;
                    for (int i = 0; i + 1 < aCount && j < bCount; i += 2) {
                        hit |= b[j] >= a[i] && b[j] <= a[i + 1];
                    }
                }
                case 2 -> { // equal each
                    hit = (j < aCount && j < bCount) ? a[j] == b[j] : j >= aCount && j >= bCount;
                }
                default -> { // equal ordered
                    hit = true;
                    for (int i = 0; i < aCount && j + i < n; i++) {
                        hit &= j + i < bCount && a[i] == b[j + i];
                    }
                }
            }
            result |= hit ? 1 << j : 0;
        }
        return result;
    }
}
