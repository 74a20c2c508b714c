// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Decimal adjustment; exists outside 64-bit mode only. */
final class Decimal {
    private Decimal() {}

    static void execute(Core core, int kind, int base) {
        long[] r = core.r;
        Flags f = core.flags;
        int al = (int) r[0] & 0xff;
        int ah = (int) r[0] >>> 8 & 0xff;
        boolean carry = f.carry();
        boolean adjust = f.adjust();
        switch (kind) {
            case 0, 1 -> {
                int sign = kind == 0 ? 1 : -1;
                int v = al;
                boolean newAdjust = (al & 15) > 9 || adjust;
                boolean newCarry = al > 0x99 || carry;
                if (newAdjust) {
                    v += sign * 6;
                    newCarry |= kind == 1 && al < 6;
                }
                if (al > 0x99 || carry) {
                    v += sign * 0x60;
                }
                r[0] = (r[0] & ~0xffL) | (v & 0xff);
                f.result((byte) v, (newCarry ? Flags.CF : 0) | (newAdjust ? Flags.AF : 0));
            }
            case 2, 3 -> {
                boolean wrap = (al & 15) > 9 || adjust;
                int ax = (int) r[0] & 0xffff;
                if (wrap) {
                    ax += kind == 2 ? 0x106 : -0x106;
                }
                r[0] = (r[0] & ~0xffffL) | (ax & 0xff0f);
                f.result((byte) ax, wrap ? Flags.CF | Flags.AF : 0);
            }
            case 4 -> {
                if (base == 0) {
                    throw core.fault(Fault.DE, -1);
                }
                r[0] = (r[0] & ~0xffffL) | ((al / base) << 8 | al % base);
                f.logic((byte) (al % base));
            }
            case 5 -> {
                int v = al + ah * base & 0xff;
                r[0] = (r[0] & ~0xffffL) | v;
                f.logic((byte) v);
            }
            default -> r[0] = (r[0] & ~0xffL) | (carry ? 0xff : 0); // salc
        }
    }
}
