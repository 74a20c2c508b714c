// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Segment registers: checks of accesses, and loads from descriptor tables (Intel SDM volume 3, chapters 3 and 5). */
final class Segments {
    private final Core core;
    private final CpuState state;

    Segments(Core core) {
        this.core = core;
        state = core.state;
    }

    /**
     * Linear address of an access at {@code offset} in a segment; faults when it is not allowed.
     *
     * @param size bytes; 0 checks nothing
     */
    long check(int segment, long offset, int size, boolean write) {
        SegmentRegister s = state.segment[segment];
        if (core.is64()) {
            return offset + (segment >= CpuState.FS ? s.base : 0);
        }
        if (size != 0) {
            boolean bad = false;
            if (core.isProtected()) {
                bad = s.unusable || !s.present || (write ? !s.isWritable() : !s.isReadable());
            }
            long limit = s.limit & 0xffffffffL;
            long last = offset + size - 1;
            if (s.isExpandDown() && core.isProtected()) {
                bad |= offset <= limit || last > (s.db ? 0xffffffffL : 0xffff);
            } else {
                bad |= last > limit;
            }
            if (bad) {
                throw core.fault(segment == CpuState.SS ? Fault.SS : Fault.GP, 0);
            }
        }
        return (s.base + offset) & 0xffffffffL;
    }

    /** For {@link Op#EA_CHECK}. */
    long address(long effective, int hi) {
        long offset = effective & Alu.mask(1 << (hi >> 12 & 3));
        return check(hi >> 16 & 7, offset, hi & 1023, (hi & 1 << 10) != 0);
    }

    static long base(long descriptor) {
        return (descriptor >>> 16 & 0xffffff) | (descriptor >>> 56) << 24;
    }

    static int limit(long descriptor) {
        int limit = (int) ((descriptor & 0xffff) | (descriptor >>> 32 & 0xf0000));
        return (descriptor >>> 55 & 1) != 0 ? limit << 12 | 0xfff : limit;
    }

    static void load(SegmentRegister into, int selector, long descriptor) {
        into.set(selector, base(descriptor), limit(descriptor), (int) (descriptor >>> 32));
    }

    /** Linear address of a descriptor. */
    long descriptorAddress(int selector, int size, int vector) {
        long base = state.gdtBase;
        int limit = state.gdtLimit & 0xffff;
        if ((selector & 4) != 0) {
            if (state.ldtr.unusable || (state.ldtr.selector & ~3) == 0) {
                throw core.fault(vector, selector & 0xfffc);
            }
            base = state.ldtr.base;
            limit = state.ldtr.limit;
        }
        int at = selector & 0xfff8;
        if (Integer.compareUnsigned(at + size - 1, limit) > 0) {
            throw core.fault(vector, selector & 0xfffc);
        }
        long a = base + at;
        return core.isLong() ? a : a & 0xffffffffL;
    }

    long descriptor(int selector, int vector) {
        return core.mmu.systemLoad(descriptorAddress(selector, 8, vector), 8);
    }

    /** Sets the accessed bit of a code or data descriptor. */
    long accessed(int selector, long descriptor) {
        long set = descriptor | 1L << 40;
        if (set != descriptor) {
            core.mmu.systemStore(descriptorAddress(selector, 8, Fault.GP), 8, set);
        }
        return set;
    }

    /** Loads a data or stack segment register as {@code mov} does. */
    void write(int segment, int selector) {
        SegmentRegister s = state.segment[segment];
        int error = selector & 0xfffc;
        if (!core.isProtected()) {
            s.selector = selector;
            s.base = (long) selector << 4;
            s.unusable = false;
        } else if (error == 0) {
            if (segment == CpuState.SS && (!core.is64() || core.cpl == 3 || (selector & 3) != core.cpl)) {
                throw core.gp(0);
            }
            s.clear(selector);
            if (segment == CpuState.SS) {
                s.dpl = core.cpl;
            }
        } else {
            long d = descriptor(selector, Fault.GP);
            checkData(segment, selector, d);
            load(s, selector, accessed(selector, d));
        }
        if (!core.is64()) {
            core.updateMode();
        }
    }

    private void checkData(int segment, int selector, long d) {
        SegmentRegister t = new SegmentRegister();
        load(t, selector, d);
        int error = selector & 0xfffc;
        int rpl = selector & 3;
        if (segment == CpuState.SS) {
            if (rpl != core.cpl || t.dpl != core.cpl || !t.isWritable()) {
                throw core.gp(error);
            }
            if (!t.present) {
                throw core.fault(Fault.SS, error);
            }
            return;
        }
        boolean conforming = t.isCode() && (t.type & 4) != 0;
        if (!t.isReadable() || (!conforming && t.dpl < Math.max(rpl, core.cpl))) {
            throw core.gp(error);
        }
        if (!t.present) {
            throw core.fault(Fault.NP, error);
        }
    }

    /**
     * Fetches and checks the descriptor of a code segment that control is to go to.
     *
     * @param privilege the privilege level afterwards, for a non-conforming segment
     * @param gate for a transfer through a gate, which may raise the privilege
     */
    long code(int selector, int privilege, boolean gate) {
        int error = selector & 0xfffc;
        if (error == 0) {
            throw core.gp(0);
        }
        long d = descriptor(selector, Fault.GP);
        SegmentRegister t = new SegmentRegister();
        load(t, selector, d);
        if (!t.isCode()) {
            if (t.s == 0 && !gate) {
                throw t.type == 12 || t.type == 5 || t.type == 9 || t.type == 11
                        ? core.unsupported("far transfer through a gate or task")
                        : core.gp(error);
            }
            throw core.gp(error);
        }
        boolean conforming = (t.type & 4) != 0;
        boolean allowed = conforming ? t.dpl <= privilege : gate ? t.dpl <= core.cpl : t.dpl == privilege;
        if (!allowed || (core.isLong() && t.l && t.db)) {
            throw core.gp(error);
        }
        if (!t.present) {
            throw core.fault(Fault.NP, error);
        }
        return d;
    }

    /** Sets CS, the privilege level and the instruction pointer. Nothing can fail any more. */
    void commit(int selector, long descriptor, int privilege, long ip) {
        load(state.cs(), (selector & 0xfffc) | privilege, descriptor | 1L << 40);
        core.cpl = privilege;
        core.updateMode();
        core.rip = ip;
    }

    void commitReal(int selector, long ip) {
        SegmentRegister cs = state.cs();
        cs.selector = selector;
        cs.base = (long) selector << 4;
        core.updateMode();
        core.rip = ip;
    }

    /** After a return to a less privileged level: data segments it may not use become null. */
    void dropPrivilegedSegments() {
        for (int i : new int[] {CpuState.ES, CpuState.DS, CpuState.FS, CpuState.GS}) {
            SegmentRegister s = state.segment[i];
            boolean conforming = s.isCode() && (s.type & 4) != 0;
            if (!s.unusable && !conforming && s.dpl < core.cpl) {
                s.clear(0);
            }
        }
        core.updateMode();
    }

    /** Loads LDTR (from an LDT descriptor) or TR (from an available TSS, which becomes busy). */
    void writeSystem(SegmentRegister register, int selector) {
        int error = selector & 0xfffc;
        boolean task = register == state.tr;
        if (error == 0) {
            if (task) {
                throw core.gp(0);
            }
            register.clear(selector);
            return;
        }
        if ((selector & 4) != 0) {
            throw core.gp(error);
        }
        boolean wide = core.isLong();
        long at = descriptorAddress(selector, wide ? 16 : 8, Fault.GP);
        long d = core.mmu.systemLoad(at, 8);
        long high = wide ? core.mmu.systemLoad(at + 8, 8) : 0;
        int type = (int) (d >>> 40) & 31;
        boolean right = task ? type == 9 || (type == 1 && !wide) : type == 2;
        if (!right) {
            throw core.gp(error);
        }
        if ((d >>> 47 & 1) == 0) {
            throw core.fault(Fault.NP, error);
        }
        if (task) {
            d |= 2L << 40;
            core.mmu.systemStore(at, 8, d);
        }
        load(register, selector, d);
        register.base |= high << 32;
    }

    /** Descriptor for {@code lar}, {@code lsl}, {@code verr} and {@code verw}; 0 when it is not accessible. */
    long visible(int selector) {
        if ((selector & 0xfffc) == 0) {
            return 0;
        }
        long d;
        try {
            d = core.mmu.systemLoad(descriptorAddress(selector, 8, Fault.GP), 8);
        } catch (Fault f) {
            if (f.vector == Fault.GP) {
                return 0;
            }
            throw f;
        }
        SegmentRegister t = new SegmentRegister();
        load(t, selector, d);
        boolean conforming = t.isCode() && (t.type & 4) != 0;
        return conforming || t.dpl >= Math.max(core.cpl, selector & 3) ? d : 0;
    }
}
