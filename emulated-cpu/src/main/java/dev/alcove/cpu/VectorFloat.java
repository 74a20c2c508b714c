// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The arithmetic of SSE to SSE3 on packed and scalar floating-point numbers; opcodes as in {@link VectorOps}. */
final class VectorFloat {
    private final long[] xmm;
    private final SseFloat floats;

    VectorFloat(Core core, SseFloat floats) {
        xmm = core.state.fpu.xmm;
        this.floats = floats;
    }

    private static long pair(int low, int high) {
        return (low & 0xffffffffL) | (long) high << 32;
    }

    private static long lowSigned(long v) {
        return v << 32 >> 32;
    }

    private static long lowInt(long v, int low) {
        return (v & -1L << 32) | (low & 0xffffffffL);
    }

    void execute(int opcode, int prefix, int immediate, int d, long low, long high) {
        long a = xmm[d];
        long b = xmm[d + 1];
        floats.begin();
        switch (opcode) {
            case 0x52, 0x53 -> { // rsqrtps, rcpps
                boolean root = opcode == 0x52;
                if (prefix == VectorOps.PF3) {
                    a = lowInt(a, SseFloat.reciprocal((int) low, root));
                } else {
                    a = pair(SseFloat.reciprocal((int) low, root), SseFloat.reciprocal((int) (low >> 32), root));
                    b = pair(SseFloat.reciprocal((int) high, root), SseFloat.reciprocal((int) (high >> 32), root));
                }
            }
            case 0x5a -> {
                switch (prefix) {
                    case VectorOps.NONE -> { // cvtps2pd
                        a = floats.toDouble((int) low);
                        b = floats.toDouble((int) (low >> 32));
                    }
                    case VectorOps.P66 -> { // cvtpd2ps
                        a = pair(floats.toFloat(low), floats.toFloat(high));
                        b = 0;
                    }
                    case VectorOps.PF3 -> a = floats.toDouble((int) low); // cvtss2sd
                    default -> a = lowInt(a, floats.toFloat(low)); // cvtsd2ss
                }
            }
            case 0x5b -> {
                if (prefix == VectorOps.NONE) { // cvtdq2ps
                    a = pair(floats.integerToFloat(lowSigned(low)), floats.integerToFloat(low >> 32));
                    b = pair(floats.integerToFloat(lowSigned(high)), floats.integerToFloat(high >> 32));
                } else { // cvtps2dq, cvttps2dq
                    boolean truncate = prefix == VectorOps.PF3;
                    a = floatsToInts(low, truncate);
                    b = floatsToInts(high, truncate);
                }
            }
            case 0xe6 -> {
                if (prefix == VectorOps.PF3) { // cvtdq2pd
                    a = floats.integerToDouble(lowSigned(low));
                    b = floats.integerToDouble(low >> 32);
                } else { // cvttpd2dq, cvtpd2dq
                    boolean truncate = prefix == VectorOps.P66;
                    a = pair(
                            (int) floats.doubleToInteger(low, 32, truncate),
                            (int) floats.doubleToInteger(high, 32, truncate));
                    b = 0;
                }
            }
            case 0x7c, 0x7d -> { // haddps, hsubps and for doubles
                int op = opcode == 0x7c ? 0x58 : 0x5c;
                if (prefix == VectorOps.P66) {
                    a = floats.arithmetic64(op, a, b);
                    b = floats.arithmetic64(op, low, high);
                } else {
                    a = pair(across(op, a), across(op, b));
                    b = pair(across(op, low), across(op, high));
                }
            }
            case 0xd0 -> { // addsubpd, addsubps
                if (prefix == VectorOps.P66) {
                    a = floats.arithmetic64(0x5c, a, low);
                    b = floats.arithmetic64(0x58, b, high);
                } else {
                    a = addSubtract(a, low);
                    b = addSubtract(b, high);
                }
            }
            default -> {
                switch (prefix) {
                    case VectorOps.NONE -> {
                        a = pair(one32(opcode, immediate, (int) a, (int) low), high32(opcode, immediate, a, low));
                        b = pair(one32(opcode, immediate, (int) b, (int) high), high32(opcode, immediate, b, high));
                    }
                    case VectorOps.P66 -> {
                        a = one64(opcode, immediate, a, low);
                        b = one64(opcode, immediate, b, high);
                    }
                    case VectorOps.PF3 -> a = lowInt(a, one32(opcode, immediate, (int) a, (int) low));
                    default -> a = one64(opcode, immediate, a, low);
                }
            }
        }
        floats.end();
        xmm[d] = a;
        xmm[d + 1] = b;
    }

    private int high32(int opcode, int immediate, long x, long y) {
        return one32(opcode, immediate, (int) (x >> 32), (int) (y >> 32));
    }

    private long floatsToInts(long v, boolean truncate) {
        return pair((int) floats.floatToInteger((int) v, 32, truncate), (int) floats.floatToInteger((int) (v >> 32), 32, truncate));
    }

    private int across(int op, long v) {
        return floats.arithmetic32(op, (int) v, (int) (v >> 32));
    }

    private long addSubtract(long x, long y) {
        return pair(floats.arithmetic32(0x5c, (int) x, (int) y), floats.arithmetic32(0x58, (int) (x >> 32), (int) (y >> 32)));
    }

    private int one32(int opcode, int immediate, int x, int y) {
        if (opcode == 0xc2) {
            return floats.compare32(immediate & 7, x, y) ? -1 : 0;
        }
        return floats.arithmetic32(opcode, x, y);
    }

    private long one64(int opcode, int immediate, long x, long y) {
        if (opcode == 0xc2) {
            return floats.compare64(immediate & 7, x, y) ? -1 : 0;
        }
        return floats.arithmetic64(opcode, x, y);
    }
}
