// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Rounds of the block cipher AES (FIPS 197) as AES-NI cuts them. The result is in two fields. */
final class Aes {
    private static final byte[] SUBSTITUTE = new byte[256];
    private static final byte[] INVERSE = new byte[256];

    static {
        for (int i = 0; i < 256; i++) {
            int inverse = 0;
            for (int k = 1; k < 256 && i != 0; k++) {
                if (multiply(i, k) == 1) {
                    inverse = k;
                    break;
                }
            }
            int s = 0x63;
            for (int k = 0; k < 5; k++) {
                s ^= inverse << k | inverse >>> (8 - k);
            }
            SUBSTITUTE[i] = (byte) s;
            INVERSE[s & 255] = (byte) i;
        }
    }

    long low;
    long high;
    private final int[] in = new int[16];
    private final int[] out = new int[16];

    /** Multiplies in the field of 256 elements. */
    private static int multiply(int x, int y) {
        int product = 0;
        int a = x;
        for (int b = y; b != 0; b >>= 1) {
            if ((b & 1) != 0) {
                product ^= a;
            }
            a = a << 1 ^ ((a & 0x80) != 0 ? 0x11b : 0);
        }
        return product;
    }

    /** aesimc, aesenc, aesenclast, aesdec, aesdeclast: 0xdb to 0xdf of the map 0f 38. */
    void round(int opcode, long a, long b, long keyLow, long keyHigh) {
        boolean mixOnly = opcode == 0xdb;
        boolean decrypt = mixOnly || opcode >= 0xde;
        unpack(mixOnly ? keyLow : a, mixOnly ? keyHigh : b);
        for (int i = 0; i < 16; i++) {
            int column = i / 4;
            int row = i & 3;
            int from = mixOnly ? i : ((decrypt ? column - row : column + row) & 3) * 4 + row;
            out[i] = mixOnly ? in[i] : (decrypt ? INVERSE : SUBSTITUTE)[in[from]] & 255;
        }
        if (opcode != 0xdd && opcode != 0xdf) {
            for (int i = 0; i < 16; i++) {
                in[i] = out[i];
            }
            for (int i = 0; i < 16; i++) {
                int c = i & ~3;
                int row = i & 3;
                int[] m = decrypt ? new int[] {14, 11, 13, 9} : new int[] {2, 3, 1, 1};
                int v = 0;
                for (int k = 0; k < 4; k++) {
                    v ^= multiply(in[c + (row + k & 3)], m[k]);
                }
                out[i] = v;
            }
        }
        pack();
        if (!mixOnly) {
            low ^= keyLow;
            high ^= keyHigh;
        }
    }

    /** aeskeygenassist. */
    void keyAssist(int constant, long a, long b) {
        unpack(a, b);
        for (int half = 0; half < 2; half++) {
            for (int i = 0; i < 4; i++) {
                out[half * 8 + i] = SUBSTITUTE[in[half * 8 + 4 + i]] & 255;
                out[half * 8 + 4 + i] = SUBSTITUTE[in[half * 8 + 4 + (i + 1 & 3)]] & 255;
            }
            out[half * 8 + 4] ^= constant & 255;
        }
        pack();
    }

    private void unpack(long a, long b) {
        for (int i = 0; i < 16; i++) {
            in[i] = (int) ((i < 8 ? a : b) >>> ((i & 7) * 8)) & 255;
        }
    }

    private void pack() {
        low = 0;
        high = 0;
        for (int i = 0; i < 8; i++) {
            low |= (long) out[i] << (i * 8);
            high |= (long) out[i + 8] << (i * 8);
        }
    }
}
