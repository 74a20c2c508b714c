// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Instructions that change memory in one piece: with {@code lock}, {@code xchg}, and always {@code cmpxchg} and
 * {@code xadd}. Towards other processors they are atomic unless the operand crosses an 8-byte word or has 16 bytes: then
 * only with regard to other such accesses, see {@link HostMemory#SPLIT_LOCK}.
 */
final class Atomics {
    // 0 to 12 are the kinds of Alu
    static final int XCHG = 13;
    static final int XADD = 14;
    static final int CMPXCHG = 15;
    static final int BTS = 16;
    static final int BTR = 17;
    static final int BTC = 18;
    static final int CMPXCHG8B = 19;
    static final int CMPXCHG16B = 20;

    private final Core core;
    private final long[] r;
    private final Flags flags;

    Atomics(Core core) {
        this.core = core;
        r = core.r;
        flags = core.flags;
    }

    void execute(long w, long address) {
        int hi = (int) (w >> 32);
        int kind = hi & 31;
        int size = hi >> 5;
        if (kind >= CMPXCHG8B) {
            pair(kind, address);
            return;
        }
        long operand = Alu.extend(r[(int) (w >>> 15) & 31], size);
        int d = (int) (w >>> 10) & 31;
        long expected = Alu.extend(r[0], size);
        // The flags serve as input too (adc, inc), so that a repeated attempt must find them unchanged.
        int flagKind = flags.kind;
        long flagResult = flags.result;
        long flagA = flags.a;
        long flagB = flags.b;
        long old;
        long value;
        boolean within = (address & 4095) + size <= 4096;
        long host = within ? core.mmu.hostForWrite(address, size) : 0;
        if (host == 0) {
            synchronized (HostMemory.SPLIT_LOCK) {
                core.mmu.probe(address, size);
                old = core.mmu.load(address, size);
                value = change(kind, size, old, operand, expected);
                core.mmu.store(address, size, value);
            }
        } else if (HostMemory.atomic(host, size)) {
            for (; ; ) {
                old = HostMemory.load(host, size);
                value = change(kind, size, old, operand, expected);
                if (HostMemory.compareAndSet(host, size, old, value)) {
                    break;
                }
                flags.kind = flagKind;
                flags.result = flagResult;
                flags.a = flagA;
                flags.b = flagB;
            }
        } else {
            synchronized (HostMemory.SPLIT_LOCK) {
                old = HostMemory.load(host, size);
                value = change(kind, size, old, operand, expected);
                HostMemory.store(host, size, value);
            }
        }
        r[d] = old;
        if (kind == CMPXCHG && !flags.zero()) {
            ColdOps.write(r, 0, size, old);
        }
    }

    /** The new value of memory; sets the flags. */
    private long change(int kind, int size, long rawOld, long operand, long expected) {
        long old = Alu.extend(rawOld, size);
        return switch (kind) {
            case XCHG -> operand;
            case XADD -> Alu.compute(flags, Alu.ADD, size, old, operand);
            case CMPXCHG -> {
                Alu.compute(flags, Alu.CMP, size, expected, old);
                yield expected == old ? operand : old;
            }
            case BTS, BTR, BTC -> Alu.bit(flags, kind - BTS + 1, size, old, operand);
            default -> Alu.compute(flags, kind, size, old, operand);
        };
    }

    private void pair(int kind, long address) {
        boolean wide = kind == CMPXCHG16B;
        if (wide && (address & 15) != 0) {
            throw core.gp(0);
        }
        Mmu mmu = core.mmu;
        long host = !wide && (address & 4095) <= 4088 ? mmu.hostForWrite(address, 8) : 0;
        boolean equal;
        long low;
        long high;
        if (host != 0 && HostMemory.atomic(host, 8)) {
            long expected = (r[2] & 0xffffffffL) << 32 | (r[0] & 0xffffffffL);
            long value = (r[1] & 0xffffffffL) << 32 | (r[3] & 0xffffffffL);
            long old;
            for (; ; ) {
                old = HostMemory.load64(host);
                equal = old == expected;
                if (HostMemory.compareAndSet(host, 8, old, equal ? value : old)) {
                    break;
                }
            }
            low = old & 0xffffffffL;
            high = old >>> 32;
        } else {
            int half = wide ? 8 : 4;
            synchronized (HostMemory.SPLIT_LOCK) {
                mmu.probe(address, half * 2);
                low = mmu.load(address, half);
                high = mmu.load(address + half, half);
                equal = low == (r[0] & Alu.mask(half)) && high == (r[2] & Alu.mask(half));
                if (equal) {
                    mmu.store(address, half, r[3]);
                    mmu.store(address + half, half, r[1]);
                }
            }
        }
        flags.explicit((flags.arithmetic() & ~Flags.ZF) | (equal ? Flags.ZF : 0));
        if (!equal) {
            r[0] = low;
            r[2] = high;
        }
    }
}
