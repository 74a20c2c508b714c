// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Delivery of interrupts and exceptions through the IDT (Intel SDM volume 3, chapter 6). */
final class Exceptions {
    /** What is delivered: an exception or external interrupt; the gate's DPL does not matter. */
    static final int HARDWARE = 0;

    /** {@code int n}, {@code int3}, {@code into}. */
    static final int SOFTWARE = 1;

    private static final int NEW_FLAGS = ~(Flags.TF | Flags.NT | Flags.RF | Flags.VM);

    private final Core core;
    private final SegmentRegister savedCs = new SegmentRegister();
    private final SegmentRegister savedSs = new SegmentRegister();

    Exceptions(Core core) {
        this.core = core;
    }

    static boolean hasErrorCode(int vector) {
        return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
    }

    /**
     * Delivers an event, and what its delivery raises.
     *
     * @return false for a triple fault
     */
    boolean raise(int firstVector, int firstError) {
        int vector = firstVector;
        int error = firstError;
        for (; ; ) {
            try {
                deliver(vector, error, HARDWARE);
                return true;
            } catch (Fault f) {
                if (vector == Fault.DF) {
                    return false;
                }
                boolean second = contributory(f.vector);
                if ((contributory(vector) && second) || (vector == Fault.PF && (second || f.vector == Fault.PF))) {
                    vector = Fault.DF;
                    error = 0;
                } else {
                    vector = f.vector;
                    error = f.errorCode;
                }
            }
        }
    }

    private static boolean contributory(int vector) {
        return vector == Fault.DE || (vector >= Fault.TS && vector <= Fault.GP);
    }

    /**
     * Delivers one event that happens in front of the instruction at {@link Core#rip}. On a fault nothing has changed
     * but memory below the stack pointer.
     */
    void deliver(int vector, int errorCode, int source) {
        CpuState s = core.state;
        savedCs.set(s.cs());
        savedSs.set(s.ss());
        long savedPointer = core.r[4];
        long savedRip = core.rip;
        int savedCpl = core.cpl;
        boolean done = false;
        core.devices.delivery = true;
        try {
            if (!core.isProtected()) {
                real(vector);
            } else if (core.isLong()) {
                long64(vector, errorCode, source);
            } else {
                protected32(vector, errorCode, source);
            }
            done = true;
        } finally {
            core.devices.delivery = false;
            if (!done) {
                s.cs().set(savedCs);
                s.ss().set(savedSs);
                core.r[4] = savedPointer;
                core.rip = savedRip;
                core.cpl = savedCpl;
                core.updateMode();
            }
        }
    }

    private void real(int vector) {
        CpuState s = core.state;
        if (vector * 4 + 3 > (s.idtLimit & 0xffff)) {
            throw core.gp(0);
        }
        long entry = core.mmu.load32(s.idtBase + vector * 4L & 0xffffffffL);
        int flags = core.flags.get();
        StackOps.push(core, 2, flags);
        StackOps.push(core, 2, s.cs().selector);
        StackOps.push(core, 2, core.rip);
        core.flags.system &= NEW_FLAGS & ~(Flags.IF | Flags.AC);
        core.segments.commitReal((int) (entry >>> 16), entry & 0xffff);
    }

    private Fault badGate(int fault, int vector, int source) {
        return core.fault(fault, vector * 8 + 2 + (source == HARDWARE ? 1 : 0));
    }

    private void long64(int vector, int errorCode, int source) {
        CpuState s = core.state;
        if (vector * 16 + 15 > (s.idtLimit & 0xffff)) {
            throw badGate(Fault.GP, vector, source);
        }
        long low = core.mmu.systemLoad(s.idtBase + vector * 16L, 8);
        long high = core.mmu.systemLoad(s.idtBase + vector * 16L + 8, 8);
        int type = (int) (low >>> 40) & 31;
        if (type != 14 && type != 15) {
            throw badGate(Fault.GP, vector, source);
        }
        checkGate(low, vector, source);
        int selector = (int) (low >>> 16) & 0xffff;
        long code = core.segments.code(selector, core.cpl, true);
        if ((code >>> 53 & 1) == 0) {
            throw core.gp(selector & 0xfffc);
        }
        boolean conforming = (code >>> 42 & 1) != 0;
        int privilege = conforming ? core.cpl : (int) (code >>> 45) & 3;
        int ist = (int) (low >>> 32) & 7;
        long sp = core.r[4];
        if (ist != 0) {
            sp = taskStack(0x1c + ist * 8, 8);
        } else if (privilege < core.cpl) {
            sp = taskStack(4 + privilege * 8, 8);
        }
        long oldSp = core.r[4];
        int oldSs = s.ss().selector;
        int oldCs = s.cs().selector;
        long oldRip = core.rip;
        boolean change = privilege != core.cpl;
        long target = (low & 0xffff) | (low >>> 48) << 16 | high << 32;
        if (target << 16 >> 16 != target) {
            throw core.gp(0);
        }
        core.segments.commit(selector, code, privilege, target);
        if (change) {
            s.ss().clear(privilege);
            s.ss().dpl = privilege;
        }
        int flags = core.flags.get();
        sp &= -16;
        sp = push64(sp, oldSs);
        sp = push64(sp, oldSp);
        sp = push64(sp, flags);
        sp = push64(sp, oldCs);
        sp = push64(sp, oldRip);
        if (errorCode >= 0) {
            sp = push64(sp, errorCode);
        }
        core.r[4] = sp;
        core.flags.system &= NEW_FLAGS & (type == 14 ? ~Flags.IF : -1);
    }

    private long push64(long sp, long v) {
        core.mmu.store64(sp - 8, v);
        return sp - 8;
    }

    private void checkGate(long gate, int vector, int source) {
        if (source == SOFTWARE && (gate >>> 45 & 3) < core.cpl) {
            throw core.fault(Fault.GP, vector * 8 + 2);
        }
        if ((gate >>> 47 & 1) == 0) {
            throw badGate(Fault.NP, vector, source);
        }
    }

    private long taskStack(int offset, int size) {
        SegmentRegister tr = core.state.tr;
        if (Integer.compareUnsigned(offset + size - 1, tr.limit) > 0) {
            throw core.fault(Fault.TS, tr.selector & 0xfffc);
        }
        return core.mmu.systemLoad(tr.base + offset, size);
    }

    private void protected32(int vector, int errorCode, int source) {
        CpuState s = core.state;
        if (vector * 8 + 7 > (s.idtLimit & 0xffff)) {
            throw badGate(Fault.GP, vector, source);
        }
        long gate = core.mmu.systemLoad(s.idtBase + vector * 8L & 0xffffffffL, 8);
        int type = (int) (gate >>> 40) & 31;
        if (type == 5) {
            throw core.unsupported("task gate");
        }
        if ((type & ~9) != 6) {
            throw badGate(Fault.GP, vector, source);
        }
        checkGate(gate, vector, source);
        int size = (type & 8) != 0 ? 4 : 2;
        int selector = (int) (gate >>> 16) & 0xffff;
        long code = core.segments.code(selector, core.cpl, true);
        boolean conforming = (code >>> 42 & 1) != 0;
        int privilege = conforming ? core.cpl : (int) (code >>> 45) & 3;
        if ((core.flags.system & Flags.VM) != 0) {
            throw core.unsupported("virtual 8086 mode");
        }
        long oldSp = core.r[4];
        int oldSs = s.ss().selector;
        int oldCs = s.cs().selector;
        long oldRip = core.rip;
        boolean change = privilege != core.cpl;
        long target = (gate & 0xffff) | (size == 4 ? gate >>> 48 << 16 : 0);
        int flags = core.flags.get();
        if (change) {
            innerStack(privilege);
        }
        core.segments.commit(selector, code, privilege, target);
        if (change) {
            StackOps.push(core, size, oldSs);
            StackOps.push(core, size, oldSp);
        }
        StackOps.push(core, size, flags);
        StackOps.push(core, size, oldCs);
        StackOps.push(core, size, oldRip);
        if (errorCode >= 0) {
            StackOps.push(core, size, errorCode);
        }
        core.flags.system &= NEW_FLAGS & ((type & 1) == 0 ? ~Flags.IF : -1);
    }

    /** Loads SS and the stack pointer of an inner level from the TSS. */
    private void innerStack(int privilege) {
        CpuState s = core.state;
        boolean wide = (s.tr.type & 8) != 0;
        long sp = wide ? taskStack(4 + privilege * 8, 4) : taskStack(2 + privilege * 4, 2);
        int ss = (int) (wide ? taskStack(8 + privilege * 8, 2) : taskStack(4 + privilege * 4, 2));
        int error = ss & 0xfffc;
        if (error == 0) {
            throw core.fault(Fault.TS, 0);
        }
        long d = core.segments.descriptor(ss, Fault.TS);
        SegmentRegister t = new SegmentRegister();
        Segments.load(t, ss, d);
        if ((ss & 3) != privilege || t.dpl != privilege || !t.isWritable()) {
            throw core.fault(Fault.TS, error);
        }
        if (!t.present) {
            throw core.fault(Fault.SS, error);
        }
        s.ss().set(t);
        core.r[4] = sp;
    }
}
