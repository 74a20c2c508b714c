// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The instructions of the x87 FPU with an operand in memory. */
final class X87Memory {
    private final Mmu mmu;
    private final FpuState s;
    private final X87 fpu;

    X87Memory(Core core, X87 fpu) {
        mmu = core.mmu;
        s = core.state.fpu;
        this.fpu = fpu;
    }

    void execute(int escape, int row, boolean small, long address) {
        switch (escape) {
            case 0 -> {
                fpu.b.unpackFloat((int) mmu.load32(address), false);
                fpu.withMemory(row);
            }
            case 2 -> {
                fpu.b.integer(mmu.load32(address) << 32 >> 32);
                fpu.withMemory(row);
            }
            case 4 -> {
                fpu.b.unpackDouble(mmu.load64(address), false);
                fpu.withMemory(row);
            }
            case 6 -> {
                fpu.b.integer((short) mmu.load16(address));
                fpu.withMemory(row);
            }
            case 1 -> escape1(row, small, address);
            case 3 -> escape3(row, address);
            case 5 -> escape5(row, small, address);
            default -> escape7(row, address);
        }
    }

    private void escape1(int row, boolean small, long address) {
        switch (row) {
            case 0 -> {
                fpu.b.unpackFloat((int) mmu.load32(address), false);
                load();
            }
            case 2, 3 -> storeReal(4, row == 3, address);
            case 4 -> {
                int[] words = environment(address, small);
                loadEnvironment(words, small);
            }
            case 5 -> {
                s.control = ((int) mmu.load16(address) & 0x1f7f) | 0x40;
                s.summarize();
            }
            case 6 -> {
                mmu.probe(address, small ? 14 : 28);
                storeEnvironment(address, small);
                s.control |= 0x3f;
                s.summarize();
            }
            default -> mmu.store16(address, s.control);
        }
    }

    private void escape3(int row, long address) {
        switch (row) {
            case 0 -> {
                fpu.b.integer(mmu.load32(address) << 32 >> 32);
                load();
            }
            case 1, 2, 3 -> storeInteger(4, row, address);
            case 5 -> {
                long significand = mmu.load64(address);
                int exponent = (int) mmu.load16(address + 8);
                fpu.z.zero(false);
                s.status &= ~X87.C1;
                if (fpu.room(fpu.z)) {
                    boolean fault = fpu.z.kind == Real.NAN;
                    fpu.push(fpu.z);
                    if (!fault) {
                        int p = s.physical(0);
                        s.significand[p] = significand;
                        s.exponent[p] = exponent;
                    }
                }
            }
            default -> { // fstp m80
                mmu.probe(address, 10);
                if (fpu.empty(0)) {
                    if (fpu.stackFault(false)) {
                        mmu.store64(address, Real.TOP | Real.QUIET);
                        mmu.store16(address + 8, 0xffff);
                        fpu.pop();
                    }
                } else {
                    int p = s.physical(0);
                    mmu.store64(address, s.significand[p]);
                    mmu.store16(address + 8, s.exponent[p]);
                    s.status &= ~X87.C1;
                    fpu.pop();
                }
            }
        }
    }

    private void escape5(int row, boolean small, long address) {
        switch (row) {
            case 0 -> {
                fpu.b.unpackDouble(mmu.load64(address), false);
                load();
            }
            case 1 -> storeInteger(8, row, address);
            case 2, 3 -> storeReal(8, row == 3, address);
            case 4 -> restore(address, small);
            case 6 -> save(address, small);
            default -> mmu.store16(address, s.status);
        }
    }

    private void escape7(int row, long address) {
        switch (row) {
            case 0 -> {
                fpu.b.integer((short) mmu.load16(address));
                load();
            }
            case 1, 2, 3 -> storeInteger(2, row, address);
            case 4 -> loadDecimal(address);
            case 5 -> {
                fpu.b.integer(mmu.load64(address));
                load();
            }
            case 6 -> storeDecimal(address);
            default -> storeInteger(8, 3, address);
        }
    }

    /** Pushes {@link X87#b}, a number of another format. */
    private void load() {
        Real v = fpu.b;
        if (v.kind == Real.NAN && v.signals()) {
            fpu.soft.raised |= SoftFloat.IE;
            v.significand |= Real.QUIET;
        } else if (v.denormal) {
            fpu.soft.raised |= SoftFloat.DE;
        }
        s.status &= ~X87.C1;
        if (!fpu.empty(7)) {
            fpu.soft.raised = 0;
            if (fpu.room(v)) {
                fpu.push(v);
            }
        } else if (fpu.settle() || (fpu.soft.raised & SoftFloat.IE) == 0) { // a denormal is there in any case
            fpu.push(v);
        }
    }

    /** fst, fstp m32 and m64. */
    private void storeReal(int size, boolean pop, long address) {
        mmu.probe(address, size);
        Real v = fpu.z;
        if (fpu.empty(0)) {
            if (!fpu.stackFault(false)) {
                return;
            }
            v.indefinite();
        } else {
            fpu.get(0, fpu.a);
            if (!fpu.soft.nan(fpu.a, fpu.a, v)) {
                v.set(fpu.a);
                v.denormal = false;
                fpu.soft.round(v, 0, size == 4 ? SoftFloat.FLOAT : SoftFloat.DOUBLE);
            }
            boolean unmasked = (fpu.soft.raised & (SoftFloat.OE | SoftFloat.UE) & ~fpu.soft.masks) != 0;
            if (unmasked) {
                fpu.soft.raised &= ~SoftFloat.PE;
                fpu.soft.roundedUp = false;
            }
            if (!fpu.settle() || unmasked) {
                return;
            }
        }
        mmu.store(address, size, size == 4 ? v.packFloat() : v.packDouble());
        if (pop) {
            fpu.pop();
        }
    }

    /** fisttp, fist, fistp: rows 1, 2 and 3. */
    private void storeInteger(int size, int row, long address) {
        mmu.probe(address, size);
        long v = -1L << (size * 8 - 1);
        if (fpu.empty(0)) {
            if (!fpu.stackFault(false)) {
                return;
            }
        } else {
            fpu.get(0, fpu.a);
            fpu.a.denormal = false;
            if (row == 1) {
                fpu.soft.rounding = SoftFloat.TRUNCATE;
            }
            v = fpu.soft.toLong(fpu.a, size * 8);
            if (!fpu.settle()) {
                return;
            }
        }
        mmu.store(address, size, v);
        if (row != 2) {
            fpu.pop();
        }
    }

    /** fbld: 18 decimal digits and a sign. */
    private void loadDecimal(long address) {
        long low = mmu.load64(address);
        int high = (int) mmu.load16(address + 8);
        long v = 0;
        for (int i = 17; i >= 0; i--) {
            long digit = i < 16 ? low >>> (i * 4) & 15 : high >> ((i - 16) * 4) & 15;
            v = v * 10 + digit;
        }
        fpu.b.integer(v);
        fpu.b.negative = (high & 0x8000) != 0;
        load();
    }

    private void storeDecimal(long address) {
        mmu.probe(address, 10);
        long low = 0xc000000000000000L;
        int high = 0xffff;
        if (fpu.empty(0)) {
            if (!fpu.stackFault(false)) {
                return;
            }
        } else {
            fpu.get(0, fpu.a);
            boolean negative = fpu.a.negative;
            fpu.a.denormal = false;
            long v = fpu.soft.toLong(fpu.a, 64);
            if (v > 999999999999999999L || v < -999999999999999999L) {
                fpu.soft.raised = SoftFloat.IE;
                fpu.soft.roundedUp = false;
            } else {
                v = Math.abs(v);
                low = 0;
                high = negative ? 0x8000 : 0;
                for (int i = 0; i < 18; i++, v /= 10) {
                    if (i < 16) {
                        low |= v % 10 << (i * 4);
                    } else {
                        high |= (int) (v % 10) << ((i - 16) * 4);
                    }
                }
            }
            if (!fpu.settle()) {
                return;
            }
        }
        mmu.store64(address, low);
        mmu.store16(address + 8, high);
        fpu.pop();
    }

    // ---- the environment

    private int[] environment(long address, boolean small) {
        int[] words = new int[7];
        for (int i = 0; i < 7; i++) {
            words[i] = (int) mmu.load(address + i * (small ? 2L : 4L), small ? 2 : 4);
        }
        return words;
    }

    private void loadEnvironment(int[] words, boolean small) {
        s.control = (words[0] & 0x1f7f) | 0x40;
        s.status = words[1] & 0xffff;
        int tags = 0;
        for (int i = 0; i < 8; i++) {
            tags |= (words[2] >> (i * 2) & 3) != 3 ? 1 << i : 0;
        }
        s.tags = tags;
        s.lastInstruction = words[3] & 0xffffffffL;
        s.lastOpcode = small ? s.lastOpcode : words[4] >>> 16 & 0x7ff;
        s.lastData = words[5] & 0xffffffffL;
        s.summarize();
    }

    /** The tag word with two bits for each register: valid, zero, special, empty. */
    private int tagWord() {
        int word = 0;
        for (int i = 0; i < 8; i++) {
            int e = s.exponent[i] & 0x7fff;
            int tag;
            if ((s.tags >> i & 1) == 0) {
                tag = 3;
            } else if (e == 0 && s.significand[i] == 0) {
                tag = 1;
            } else {
                tag = e == 0 || e == 0x7fff || s.significand[i] >= 0 ? 2 : 0;
            }
            word |= tag << (i * 2);
        }
        return word;
    }

    private void storeEnvironment(long address, boolean small) {
        int fill = small ? 0 : 0xffff0000;
        int[] words = {
            s.control | fill,
            s.status | fill,
            tagWord() | fill,
            (int) s.lastInstruction,
            small ? 0 : s.lastOpcode << 16,
            (int) s.lastData,
            fill
        };
        for (int i = 0; i < 7; i++) {
            mmu.store(address + i * (small ? 2L : 4L), small ? 2 : 4, words[i]);
        }
    }

    private void save(long address, boolean small) {
        int start = small ? 14 : 28;
        mmu.probe(address, start + 80);
        storeEnvironment(address, small);
        for (int i = 0; i < 8; i++) {
            int p = s.physical(i);
            mmu.store64(address + start + i * 10L, s.significand[p]);
            mmu.store16(address + start + i * 10L + 8, s.exponent[p]);
        }
        s.initialize();
    }

    private void restore(long address, boolean small) {
        int start = small ? 14 : 28;
        int[] words = environment(address, small);
        long[] significands = new long[8];
        int[] exponents = new int[8];
        for (int i = 0; i < 8; i++) {
            significands[i] = mmu.load64(address + start + i * 10L);
            exponents[i] = (int) mmu.load16(address + start + i * 10L + 8);
        }
        loadEnvironment(words, small);
        for (int i = 0; i < 8; i++) {
            int p = s.physical(i);
            s.significand[p] = significands[i];
            s.exponent[p] = exponents[i];
        }
    }
}
