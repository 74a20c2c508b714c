// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * String instructions. A repeated one updates its registers after each element or chunk, so that it can stop anywhere
 * and go on later; {@code movs} and {@code stos} in ascending memory are done a page at a time.
 */
final class StringOps {
    private static final int MOVS = 0;
    private static final int CMPS = 1;
    private static final int STOS = 2;
    private static final int LODS = 3;
    private static final int SCAS = 4;
    private static final int INS = 5;

    private final Core core;
    private final long[] r;
    private final Flags flags;
    private final SystemOps ports;

    private int size;
    private long addressMask;
    private int segment;
    private boolean plain;

    StringOps(Core core, SystemOps system) {
        this.core = core;
        r = core.r;
        flags = core.flags;
        ports = system;
    }

    /**
     * Executes the whole instruction, or a part of it when attention is wanted or a device write has to be delivered.
     *
     * @param start the instruction pointer of this instruction
     * @return true when the instruction has to be continued; the instruction pointer stays on it
     */
    boolean execute(int hi, long start) {
        int kind = hi & 15;
        size = hi >> 4 & 15;
        int repeat = hi >> 8 & 15;
        addressMask = Alu.mask(hi >> 12 & 15);
        segment = hi >> 16 & 7;
        plain = core.is64() ? segment < CpuState.FS : (core.mode & Core.FLAT) != 0 && segment < CpuState.FS;
        if (kind >= INS) {
            ports.checkPort((int) r[2] & 0xffff, size);
        }
        if (repeat == 0) {
            element(kind);
            return false;
        }
        while ((r[1] & addressMask) != 0) {
            if (!bulk(kind)) {
                element(kind);
                decrement(1);
                core.devices.done();
                boolean compares = kind == CMPS || kind == SCAS;
                if (compares && flags.zero() != (repeat == 1)) {
                    return false;
                }
            }
            if ((r[1] & addressMask) != 0 && (core.attention || core.devices.hasWrites())) {
                core.rip = start;
                return true;
            }
        }
        return false;
    }

    private void decrement(long by) {
        advance(1, -by);
    }

    /** Adds to a register within the address size. */
    private void advance(int register, long by) {
        long v = r[register] + by;
        if (addressMask == -1) {
            r[register] = v;
        } else if (addressMask == 0xffffffffL) {
            r[register] = v & addressMask;
        } else {
            r[register] = (r[register] & ~addressMask) | (v & addressMask);
        }
    }

    private long step() {
        return (flags.system & Flags.DF) != 0 ? -size : size;
    }

    private long source() {
        return core.segments.check(segment, r[6] & addressMask, size, false);
    }

    private long destination(boolean write) {
        return core.segments.check(CpuState.ES, r[7] & addressMask, size, write);
    }

    private void element(int kind) {
        long step = step();
        Mmu mmu = core.mmu;
        switch (kind) {
            case MOVS -> {
                long to = destination(true);
                long v = mmu.load(source(), size);
                mmu.store(to, size, v);
                advance(6, step);
                advance(7, step);
            }
            case CMPS -> {
                long a = Alu.extend(mmu.load(source(), size), size);
                long b = Alu.extend(mmu.load(destination(false), size), size);
                Alu.compute(flags, Alu.CMP, size, a, b);
                advance(6, step);
                advance(7, step);
            }
            case STOS -> {
                mmu.store(destination(true), size, r[0]);
                advance(7, step);
            }
            case LODS -> {
                ColdOps.write(r, 0, size, mmu.load(source(), size));
                advance(6, step);
            }
            case SCAS -> {
                long b = Alu.extend(mmu.load(destination(false), size), size);
                Alu.compute(flags, Alu.CMP, size, Alu.extend(r[0], size), b);
                advance(7, step);
            }
            case INS -> {
                long to = destination(true);
                mmu.probe(to, size);
                long v = core.devices.in((int) r[2] & 0xffff, size);
                mmu.store(to, size, v);
                advance(7, step);
            }
            default -> {
                long v = mmu.load(source(), size);
                core.devices.out((int) r[2] & 0xffff, size, v);
                advance(6, step);
            }
        }
    }

    /** Does as many elements at once as the pages allow; false when one has to be done alone. */
    private boolean bulk(int kind) {
        boolean move = kind == MOVS;
        if ((!move && kind != STOS) || !plain || (flags.system & Flags.DF) != 0) {
            return false;
        }
        long to = r[7] & addressMask;
        long from = r[6] & addressMask;
        long bytes = 4096 - (to & 4095);
        if (move) {
            bytes = Math.min(bytes, 4096 - (from & 4095));
        }
        long count = r[1] & addressMask;
        long n = bytes / size;
        if (Long.compareUnsigned(count, n) < 0) {
            n = count;
        }
        if (n < 2) {
            return false;
        }
        bytes = n * size;
        long hostFrom = move ? core.mmu.hostForRead(from) : 0;
        long hostTo = core.mmu.hostForWrite(to, (int) bytes);
        if (hostTo == 0 || (move && hostFrom == 0)) {
            return false;
        }
        if (!move) {
            fill(hostTo, n);
        } else if (hostTo <= hostFrom || hostTo - hostFrom >= bytes) {
            HostMemory.copy(hostFrom, hostTo, bytes);
        } else {
            for (long i = 0; i < bytes; i += size) {
                HostMemory.store(hostTo + i, size, HostMemory.load(hostFrom + i, size));
            }
        }
        if (move) {
            advance(6, bytes);
        }
        advance(7, bytes);
        decrement(n);
        return true;
    }

    private void fill(long host, long n) {
        if (size == 1) {
            HostMemory.fill(host, n, (byte) r[0]);
        } else {
            for (long i = 0; i < n; i++) {
                HostMemory.store(host + i * size, size, r[0]);
            }
        }
    }
}
