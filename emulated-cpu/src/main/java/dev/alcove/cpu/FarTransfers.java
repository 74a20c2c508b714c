// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Far jumps, calls and returns, {@code iret}, and the fast system calls. */
final class FarTransfers {
    private final Core core;
    private final CpuState state;
    private final Segments segments;
    private final long[] r;

    FarTransfers(Core core) {
        this.core = core;
        state = core.state;
        segments = core.segments;
        r = core.r;
    }

    private void checkLimit(long ip, long descriptor) {
        boolean wide = core.isLong() && (descriptor >>> 53 & 1) != 0;
        if (wide ? ip << 16 >> 16 != ip : Long.compareUnsigned(ip, Segments.limit(descriptor) & 0xffffffffL) > 0) {
            throw core.gp(0);
        }
    }

    void jump(int selector, long ip) {
        if (!core.isProtected()) {
            segments.commitReal(selector, ip);
            return;
        }
        long d = segments.code(selector, core.cpl, false);
        checkLimit(ip, d);
        segments.commit(selector, segments.accessed(selector, d), core.cpl, ip);
    }

    void call(int selector, long ip, int size, long next) {
        long d = 0;
        if (core.isProtected()) {
            d = segments.code(selector, core.cpl, false);
            checkLimit(ip, d);
            segments.accessed(selector, d);
        }
        long saved = r[4];
        try {
            StackOps.push(core, size, state.cs().selector);
            StackOps.push(core, size, next);
        } catch (Fault | Leave e) {
            r[4] = saved;
            throw e;
        }
        if (core.isProtected()) {
            segments.commit(selector, d, core.cpl, ip);
        } else {
            segments.commitReal(selector, ip);
        }
    }

    void ret(int size, int drop) {
        long ip = StackOps.peek(core, size, 0);
        int selector = (int) StackOps.peek(core, size, size) & 0xffff;
        if (!core.isProtected()) {
            StackOps.drop(core, size * 2L + drop);
            segments.commitReal(selector, ip);
            return;
        }
        leaveTo(selector, ip, size, drop, 2, false);
    }

    /**
     * The common part of {@code retf} and {@code iret}: to the same or an outer level.
     *
     * @param slots values on the stack in front of those for the outer stack
     * @param always whether the stack is always taken from there
     */
    private void leaveTo(int selector, long ip, int size, int drop, int slots, boolean always) {
        int privilege = selector & 3;
        if (privilege < core.cpl) {
            throw core.gp(selector & 0xfffc);
        }
        long d = segments.code(selector, privilege, false);
        checkLimit(ip, d);
        boolean outer = privilege > core.cpl;
        if (!outer && !always) {
            StackOps.drop(core, (long) size * slots + drop);
            segments.commit(selector, segments.accessed(selector, d), privilege, ip);
            return;
        }
        long sp = StackOps.peek(core, size, (long) size * slots + drop);
        int ss = (int) StackOps.peek(core, size, (long) size * (slots + 1) + drop) & 0xffff;
        boolean to64 = core.isLong() && (d >>> 53 & 1) != 0;
        SegmentRegister stack = new SegmentRegister();
        if ((ss & 0xfffc) == 0) {
            if (!to64 || privilege == 3) {
                throw core.gp(0);
            }
            stack.clear(ss);
            stack.dpl = privilege;
        } else {
            long sd = segments.descriptor(ss, Fault.GP);
            Segments.load(stack, ss, sd);
            if ((ss & 3) != privilege || stack.dpl != privilege || !stack.isWritable()) {
                throw core.gp(ss & 0xfffc);
            }
            if (!stack.present) {
                throw core.fault(Fault.SS, ss & 0xfffc);
            }
            segments.accessed(ss, sd);
        }
        d = segments.accessed(selector, d);
        state.ss().set(stack);
        segments.commit(selector, d, privilege, ip);
        if (to64) {
            r[4] = sp;
        } else {
            r[4] = stack.db ? sp & 0xffffffffL : (r[4] & ~0xffffL) | (sp & 0xffff);
        }
        if (drop != 0) {
            StackOps.drop(core, drop);
        }
        if (outer) {
            segments.dropPrivilegedSegments();
        }
    }

    void iret(int size) {
        long ip = StackOps.peek(core, size, 0);
        int selector = (int) StackOps.peek(core, size, size) & 0xffff;
        long flags = StackOps.peek(core, size, size * 2L);
        if (!core.isProtected()) {
            StackOps.drop(core, size * 3L);
            setFlags(flags, size, 0);
            segments.commitReal(selector, ip);
            return;
        }
        if ((core.flags.system & Flags.NT) != 0) {
            throw core.isLong() ? core.gp(0) : core.unsupported("return to another task");
        }
        if (size == 4 && (flags & Flags.VM) != 0 && core.cpl == 0 && !core.isLong()) {
            throw core.unsupported("virtual 8086 mode");
        }
        int before = core.cpl;
        leaveTo(selector, ip, size, 0, 3, core.is64());
        setFlags(flags, size, before);
    }

    /** Sets the flags as {@code popf} and {@code iret} at this privilege level do. */
    void setFlags(long value, int size, int privilege) {
        int keep = Flags.VM;
        if (privilege > 0) {
            keep |= Flags.IOPL;
        }
        if (privilege > (core.flags.system & Flags.IOPL) >> 12) {
            keep |= Flags.IF;
        }
        if (size == 2) {
            keep |= 0xffff0000;
        }
        long v = (value & ~(long) keep) | (core.flags.system & keep);
        boolean ac = (core.flags.system & Flags.AC) != (v & Flags.AC);
        core.flags.set(v & 0x277fd7);
        if (ac && (core.state.cr4 & Core.CR4_SMAP) != 0) {
            core.mmu.flush();
        }
    }

    void syscall(long next) {
        if ((state.efer & Core.EFER_SCE) == 0 || !core.isLong()) {
            throw core.undefined();
        }
        boolean from64 = core.is64();
        int flags = core.flags.get();
        r[1] = next;
        r[11] = flags & ~(long) Flags.RF;
        core.flags.set(flags & ~state.fmask & ~(long) Flags.RF);
        int selector = (int) (state.star >>> 32) & 0xfffc;
        state.ss().set(selector + 8, 0, -1, 0xc09300);
        state.cs().set(selector, 0, -1, 0xa09b00);
        core.cpl = 0;
        core.updateMode();
        core.rip = from64 ? state.lstar : state.cstar;
    }

    void sysret(int size) {
        if ((state.efer & Core.EFER_SCE) == 0 || !core.isLong()) {
            throw core.undefined();
        }
        core.privileged();
        if (size == 8 && r[1] << 16 >> 16 != r[1]) {
            throw core.gp(0);
        }
        int selector = (int) (state.star >>> 48) & 0xfffc;
        core.flags.set(r[11] & 0x3c7fd7);
        if (size == 8) {
            state.cs().set(selector + 16 | 3, 0, -1, 0xa0fb00);
        } else {
            state.cs().set(selector | 3, 0, -1, 0xc0fb00);
        }
        state.ss().set(selector + 8 | 3, 0, -1, 0xc0f300);
        core.cpl = 3;
        core.updateMode();
        core.rip = size == 8 ? r[1] : r[1] & 0xffffffffL;
    }

    void sysenter() {
        if (!core.isProtected() || (state.sysenterCs & 0xfffc) == 0) {
            throw core.gp(0);
        }
        int selector = (int) state.sysenterCs & 0xfffc;
        boolean wide = core.isLong();
        core.flags.system &= ~(Flags.VM | Flags.IF | Flags.RF);
        state.cs().set(selector, 0, -1, wide ? 0xa09b00 : 0xc09b00);
        state.ss().set(selector + 8, 0, -1, 0xc09300);
        core.cpl = 0;
        core.updateMode();
        r[4] = wide ? state.sysenterEsp : state.sysenterEsp & 0xffffffffL;
        core.rip = wide ? state.sysenterEip : state.sysenterEip & 0xffffffffL;
    }

    void sysexit(int size) {
        core.privileged();
        if (!core.isProtected() || (state.sysenterCs & 0xfffc) == 0) {
            throw core.gp(0);
        }
        int selector = (int) state.sysenterCs & 0xfffc;
        boolean wide = size == 8;
        state.cs().set(selector + (wide ? 32 : 16) | 3, 0, -1, wide ? 0xa0fb00 : 0xc0fb00);
        state.ss().set(selector + (wide ? 40 : 24) | 3, 0, -1, 0xc0f300);
        core.cpl = 3;
        core.updateMode();
        r[4] = wide ? r[1] : r[1] & 0xffffffffL;
        core.rip = wide ? r[2] : r[2] & 0xffffffffL;
    }
}
