// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Stack operations of all modes and sizes; the frequent ones of 64-bit mode are in the interpreter itself. */
final class StackOps {
    private final Core core;
    private final long[] r;

    StackOps(Core core) {
        this.core = core;
        r = core.r;
    }

    /** Mask of the stack pointer. */
    static long pointerMask(Core core) {
        return core.is64() ? -1 : core.state.ss().db ? 0xffffffffL : 0xffff;
    }

    private static void setPointer(Core core, long v) {
        long mask = pointerMask(core);
        core.r[4] = (mask == 0xffff ? core.r[4] & ~0xffffL : 0) | (v & mask);
    }

    /** Address of the stack at offset {@code at}, checked for an access. */
    private static long linear(Core core, long at, int size, boolean write) {
        return core.is64() ? at : core.segments.check(CpuState.SS, at & pointerMask(core), size, write);
    }

    static void push(Core core, int size, long v) {
        long at = core.r[4] - size;
        core.mmu.store(linear(core, at, size, true), size, v);
        setPointer(core, at);
    }

    /** Reads the stack {@code offset} bytes above the stack pointer. */
    static long peek(Core core, int size, long offset) {
        return core.mmu.load(linear(core, core.r[4] + offset, size, false), size);
    }

    static void drop(Core core, long bytes) {
        setPointer(core, core.r[4] + bytes);
    }

    boolean execute(long w, long second, Block block) {
        int d = (int) (w >>> 10) & 31;
        int s = (int) (w >>> 15) & 31;
        int hi = (int) (w >> 32);
        switch ((int) w & 0x3ff) {
            case Op.PUSH -> push(core, hi, r[s]);
            case Op.POP -> {
                int size = hi & 15;
                long v = peek(core, size, 0);
                if ((hi & 16) == 0) {
                    drop(core, size);
                }
                r[d] = v;
            }
            case Op.ADJUST_SP -> drop(core, hi);
            case Op.PUSHA -> pushAll(hi);
            case Op.POPA -> popAll(hi);
            case Op.ENTER -> enter(hi & 255, hi >> 8, (int) second);
            case Op.LEAVE -> {
                long at = core.is64() ? r[5] : r[5] & pointerMask(core);
                long v = core.mmu.load(linear(core, at, hi, false), hi);
                setPointer(core, at + hi);
                ColdOps.write(r, 5, hi, v);
            }
            case Op.CALL_NEAR -> {
                long target = r[s] & Alu.mask(hi);
                checkTarget(target);
                push(core, hi, block.end);
                core.rip = target;
                return true;
            }
            case Op.RET_NEAR -> {
                long target = peek(core, hi, 0);
                checkTarget(target);
                drop(core, hi + second);
                core.rip = target;
                return true;
            }
            default -> {
                long target = r[s] & Alu.mask(hi);
                checkTarget(target);
                core.rip = target;
                return true;
            }
        }
        return false;
    }

    private void checkTarget(long target) {
        if (!core.is64() && Long.compareUnsigned(target, core.state.cs().limit & 0xffffffffL) > 0) {
            throw core.gp(0);
        }
    }

    private void pushAll(int size) {
        for (int i = 1; i <= 8; i++) {
            core.mmu.probe(linear(core, r[4] - (long) size * i, size, true), size);
        }
        long sp = r[4];
        for (int i = 0; i < 8; i++) {
            push(core, size, i == 4 ? sp : r[i]);
        }
    }

    private void popAll(int size) {
        long[] values = new long[8];
        for (int i = 0; i < 8; i++) {
            values[7 - i] = peek(core, size, (long) size * i);
        }
        for (int i = 0; i < 8; i++) {
            if (i != 4) {
                ColdOps.write(r, i, size, values[i]);
            }
        }
        drop(core, size * 8L);
    }

    private void enter(int size, int level, int bytes) {
        long savedPointer = r[4];
        long frame = r[5];
        try {
            push(core, size, frame);
            long newFrame = r[4];
            if (level > 0) {
                for (int i = 1; i < level; i++) {
                    long at = frame - (long) size * i;
                    push(core, size, core.mmu.load(linear(core, at, size, false), size));
                }
                push(core, size, newFrame);
            }
            core.mmu.probe(linear(core, r[4] - bytes, size, true), size);
            setPointer(core, r[4] - bytes);
            ColdOps.write(r, 5, size, newFrame);
        } catch (Fault | Leave e) {
            r[4] = savedPointer;
            throw e;
        }
    }
}
