// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Operations of operating systems; the registers they are about are in {@link ControlRegisters} and {@link Msrs}. */
final class SystemOps {
    private static final int XSAVE_FEATURE = 1 << 26;
    private static final int OSXSAVE_FEATURE = 1 << 27;

    private final Core core;
    private final CpuState state;
    private final Flags flags;
    private final long[] r;
    private final FarTransfers far;
    private final ControlRegisters control;
    private final Msrs msrs;
    private final FpuImages images;
    private final int[] cpuid = new int[4];

    SystemOps(Core core) {
        this.core = core;
        state = core.state;
        flags = core.flags;
        r = core.r;
        far = new FarTransfers(core);
        control = new ControlRegisters(core);
        msrs = new Msrs(core);
        images = new FpuImages(core);
    }

    private static int d(long w) {
        return (int) (w >>> 10) & 31;
    }

    private long s(long w) {
        return r[(int) (w >>> 15) & 31];
    }

    private long address(long w, long second) {
        return r[(int) (w >>> 20) & 31] + (r[(int) (w >>> 25) & 31] << (int) (w >>> 30 & 3)) + second;
    }

    /** As {@link ColdOps#execute}. */
    boolean execute(long w, long second) {
        int hi = (int) (w >> 32);
        int op = (int) w & 0x3ff;
        if (op >= Op.SEG_READ) {
            return registers(op, w, second, hi);
        }
        switch (op) {
            case Op.IN -> {
                int port = (int) s(w) & 0xffff;
                checkPort(port, hi);
                ColdOps.write(r, 0, hi, core.devices.in(port, hi));
            }
            case Op.OUT -> {
                int port = (int) s(w) & 0xffff;
                checkPort(port, hi);
                core.devices.out(port, hi, r[0]);
            }
            case Op.CPUID -> {
                boolean features = (int) r[0] == 1;
                core.bus.cpuid((int) r[0], (int) r[1], cpuid);
                if (features && (cpuid[2] & XSAVE_FEATURE) != 0) {
                    boolean enabled = (state.cr4 & Core.CR4_OSXSAVE) != 0;
                    cpuid[2] = (cpuid[2] & ~OSXSAVE_FEATURE) | (enabled ? OSXSAVE_FEATURE : 0);
                }
                r[0] = cpuid[0] & 0xffffffffL;
                r[3] = cpuid[1] & 0xffffffffL;
                r[1] = cpuid[2] & 0xffffffffL;
                r[2] = cpuid[3] & 0xffffffffL;
                core.codeChanged(); // a serializing instruction
            }
            case Op.RDTSC, Op.RDTSCP -> {
                if ((state.cr4 & Core.CR4_TSD) != 0 && core.cpl != 0) {
                    throw core.gp(0);
                }
                pair(core.bus.tsc() + state.tscOffset);
                if (op == Op.RDTSCP) {
                    r[1] = state.tscAux & 0xffffffffL;
                }
            }
            case Op.RDPMC -> throw core.gp(0);
            case Op.RDMSR -> {
                core.privileged();
                pair(msrs.read((int) r[1]));
            }
            case Op.WRMSR -> {
                core.privileged();
                msrs.write((int) r[1], (r[2] & 0xffffffffL) << 32 | (r[0] & 0xffffffffL));
            }
            case Op.HLT -> {
                core.privileged();
                core.exit = new CpuExit.Halt();
            }
            case Op.VMCALL -> core.exit = new CpuExit.Hypercall();
            case Op.FPU -> floatingPoint(hi);
            case Op.XCR -> images.extendedControl(hi == 1);
            case Op.CLI -> {
                checkInterruptFlag();
                flags.system &= ~Flags.IF;
            }
            case Op.STI -> {
                checkInterruptFlag();
                if ((flags.system & Flags.IF) == 0) {
                    flags.system |= Flags.IF;
                    core.shadow = true;
                }
            }
            case Op.PUSHF -> StackOps.push(core, hi, flags.get() & ~(Flags.RF | Flags.VM));
            case Op.POPF -> {
                long v = StackOps.peek(core, hi, 0);
                StackOps.drop(core, hi);
                far.setFlags(v, hi, core.isProtected() ? core.cpl : 0);
            }
            case Op.INT -> {
                softwareInterrupt(hi & 255, second);
                return true;
            }
            case Op.INTO -> {
                if (flags.overflow()) {
                    softwareInterrupt(Fault.OF, second);
                    return true;
                }
            }
            default -> {
                transfer(op, hi, second);
                return true;
            }
        }
        return false;
    }

    private void transfer(int op, int hi, long second) {
        switch (op) {
            case Op.IRET -> {
                far.iret(hi);
                core.codeChanged();
            }
            case Op.FAR_JMP -> far.jump((int) r[Core.T1] & 0xffff, r[Core.T0]);
            case Op.FAR_CALL -> far.call((int) r[Core.T1] & 0xffff, r[Core.T0], hi, second);
            case Op.FAR_RET -> far.ret(hi & 255, hi >>> 8);
            default -> throw core.undefined();
        }
    }

    /** The instruction pointer is that of the next instruction while this is delivered. */
    private void softwareInterrupt(int vector, long next) {
        core.rip = next;
        core.exceptions.deliver(vector, -1, vector == Fault.DB ? Exceptions.HARDWARE : Exceptions.SOFTWARE);
    }

    private void pair(long v) {
        r[0] = v & 0xffffffffL;
        r[2] = v >>> 32;
    }

    private void checkInterruptFlag() {
        if (core.isProtected() && core.cpl > (flags.system & Flags.IOPL) >> 12) {
            throw core.gp(0);
        }
    }

    /** Checks IOPL and the I/O permission bitmap. */
    void checkPort(int port, int size) {
        if (!core.isProtected() || core.cpl <= (flags.system & Flags.IOPL) >> 12) {
            return;
        }
        SegmentRegister tr = state.tr;
        int limit = tr.limit;
        if ((tr.type & 8) == 0 || Integer.compareUnsigned(103, limit) > 0) {
            throw core.gp(0);
        }
        int at = (int) core.mmu.systemLoad(tr.base + 0x66, 2) + port / 8;
        if (Integer.compareUnsigned(at + 1, limit) > 0) {
            throw core.gp(0);
        }
        int bits = (int) core.mmu.systemLoad(tr.base + at, 2) >> (port & 7);
        if ((bits & ((1 << size) - 1)) != 0) {
            throw core.gp(0);
        }
    }

    /** fwait, emms, and the MMX instructions. */
    private void floatingPoint(int kind) {
        boolean task = (state.cr0 & Core.CR0_TS) != 0;
        if (kind == 2) {
            if (task && (state.cr0 & Core.CR0_MP) != 0) {
                throw core.fault(Fault.NM, -1);
            }
            X87.deliverPending(core);
            return;
        }
        if ((state.cr0 & Core.CR0_EM) != 0) {
            throw core.undefined();
        }
        if (task) {
            throw core.fault(Fault.NM, -1);
        }
        X87.deliverPending(core);
        if (kind == 1) {
            throw core.unsupported("MMX instruction");
        }
        state.fpu.tags = 0;
        state.fpu.status &= ~0x3800;
    }

    private boolean registers(int op, long w, long second, int hi) {
        switch (op) {
            case Op.SEG_READ ->
                r[d(w)] = hi < 6 ? state.segment[hi].selector : hi == 6 ? state.ldtr.selector : state.tr.selector;
            case Op.SEG_WRITE -> {
                core.segments.write(hi, (int) s(w) & 0xffff);
                core.shadow |= hi == CpuState.SS;
            }
            case Op.LGDT, Op.LIDT -> control.loadTable(op == Op.LIDT, address(w, second), hi);
            case Op.SGDT, Op.SIDT -> {
                userModeForbidden();
                control.storeTable(op == Op.SIDT, address(w, second));
            }
            case Op.LLDT, Op.LTR -> {
                if (!core.isProtected()) {
                    throw core.undefined();
                }
                core.privileged();
                core.segments.writeSystem(op == Op.LTR ? state.tr : state.ldtr, (int) s(w) & 0xffff);
            }
            case Op.LAR, Op.LSL, Op.VERR, Op.ARPL -> descriptors(op, w, hi);
            case Op.CR_READ -> {
                core.privileged();
                r[d(w)] = control.read(hi);
            }
            case Op.CR_WRITE -> {
                core.privileged();
                long v = s(w);
                control.write(hi, core.is64() ? v : v & 0xffffffffL);
            }
            case Op.DR_READ, Op.DR_WRITE -> {
                core.privileged();
                control.debug(op == Op.DR_WRITE, hi, d(w));
            }
            case Op.LMSW -> {
                core.privileged();
                control.write(0, (state.cr0 & ~14) | (s(w) & 15) | (state.cr0 & Core.CR0_PE));
            }
            case Op.SMSW -> r[d(w)] = state.cr0;
            case Op.CLTS -> {
                core.privileged();
                state.cr0 &= ~Core.CR0_TS;
            }
            case Op.INVLPG -> {
                core.privileged();
                core.mmu.flushPage(address(w, second));
            }
            case Op.INVPCID -> {
                core.privileged();
                core.mmu.flush();
            }
            case Op.WBINVD -> {
                core.privileged();
                core.codeChanged();
            }
            case Op.SWAPGS -> {
                core.privileged();
                SegmentRegister gs = state.segment[CpuState.GS];
                long t = gs.base;
                gs.base = state.kernelGsBase;
                state.kernelGsBase = t;
            }
            case Op.FSGSBASE -> fsGsBase(hi & 3, hi >> 4, d(w));
            case Op.RDPID -> r[d(w)] = state.tscAux;
            case Op.AC -> {
                core.privileged();
                flags.system = hi != 0 ? flags.system | Flags.AC : flags.system & ~Flags.AC;
                if ((state.cr4 & Core.CR4_SMAP) != 0) {
                    core.mmu.flush();
                }
            }
            case Op.UMIP -> {
                if (!core.isProtected() && hi == 0) {
                    throw core.undefined();
                }
                userModeForbidden();
            }
            default -> {
                system(op, second, hi);
                return true;
            }
        }
        return false;
    }

    private void system(int op, long second, int hi) {
        switch (op) {
            case Op.SYSCALL -> far.syscall(second);
            case Op.SYSRET -> far.sysret(hi);
            case Op.SYSENTER -> far.sysenter();
            case Op.SYSEXIT -> far.sysexit(hi);
            default -> throw core.unsupported("system operation " + op);
        }
    }

    private void userModeForbidden() {
        if ((state.cr4 & Core.CR4_UMIP) != 0 && core.cpl != 0) {
            throw core.gp(0);
        }
    }

    private void fsGsBase(int kind, int size, int register) {
        if ((state.cr4 & Core.CR4_FSGSBASE) == 0) {
            throw core.undefined();
        }
        SegmentRegister segment = state.segment[CpuState.FS + (kind & 1)];
        if (kind < 2) {
            ColdOps.write(r, register, size, segment.base);
        } else {
            long v = r[register] & Alu.mask(size);
            if (v << 16 >> 16 != v) {
                throw core.gp(0);
            }
            segment.base = v;
        }
    }

    private void descriptors(int op, long w, int hi) {
        if (!core.isProtected()) {
            throw core.undefined();
        }
        boolean ok;
        if (op == Op.ARPL) {
            long destination = r[d(w)];
            long rpl = s(w) & 3;
            ok = (destination & 3) < rpl;
            if (ok) {
                ColdOps.write(r, d(w), 2, (destination & ~3) | rpl);
            }
        } else {
            int selector = (int) s(w) & 0xffff;
            long d = core.segments.visible(selector);
            int type = (int) (d >>> 40) & 31;
            boolean system = type < 16;
            switch (op) {
                case Op.LAR -> {
                    ok = d != 0 && (!system || type == 2 || type == 9 || type == 11 || type == 12);
                    if (ok) {
                        ColdOps.write(r, d(w), hi, d >>> 32 & 0xffff00);
                    }
                }
                case Op.LSL -> {
                    ok = d != 0 && (!system || type == 2 || type == 9 || type == 11);
                    if (ok) {
                        ColdOps.write(r, d(w), hi, Segments.limit(d) & 0xffffffffL);
                    }
                }
                default -> {
                    SegmentRegister t = new SegmentRegister();
                    Segments.load(t, selector, d);
                    ok = d != 0 && (hi == 0 ? t.isReadable() : t.isWritable());
                }
            }
        }
        flags.explicit((flags.arithmetic() & ~Flags.ZF) | (ok ? Flags.ZF : 0));
    }
}
