// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.jspecify.annotations.Nullable;

/** What the parts of one processor share: the registers in the form the interpreter wants, and the parts themselves. */
final class Core {
    static final long CR0_PE = 1;
    static final long CR0_MP = 2;
    static final long CR0_EM = 4;
    static final long CR0_TS = 8;
    static final long CR0_ET = 16;
    static final long CR0_NE = 32;
    static final long CR0_WP = 1 << 16;
    static final long CR0_AM = 1 << 18;
    static final long CR0_NW = 1 << 29;
    static final long CR0_CD = 1 << 30;
    static final long CR0_PG = 1L << 31;
    static final long CR4_TSD = 4;
    static final long CR4_PSE = 0x10;
    static final long CR4_PAE = 0x20;
    static final long CR4_OSFXSR = 0x200;
    static final long CR4_OSXMMEXCPT = 0x400;
    static final long CR4_UMIP = 0x800;
    static final long CR4_FSGSBASE = 0x10000;
    static final long CR4_OSXSAVE = 0x40000;
    static final long CR4_SMEP = 0x100000;
    static final long CR4_SMAP = 0x200000;
    static final long EFER_SCE = 1;
    static final long EFER_LME = 0x100;
    static final long EFER_LMA = 0x400;
    static final long EFER_NXE = 0x800;

    /** Bits 0 and 1 of {@link #mode}: 0, 1, 2 for 16-, 32- and 64-bit code. */
    static final int CODE_SIZE = 3;

    static final int CODE_64 = 2;

    /** Bit of {@link #mode}: the stack pointer is ESP. */
    static final int STACK_32 = 4;

    /** Bit of {@link #mode}: outside 64-bit mode CS, DS, ES and SS need neither base nor limit checks. */
    static final int FLAT = 8;

    /** Bit of {@link #mode}: CPL 3. */
    static final int USER = 16;

    /** Bit of {@link Block#mode} only: one instruction, devices allowed. */
    static final int SOLO = 32;

    /** Register that reads as zero: stands for an absent base or index. */
    static final int ZERO = 16;

    /** Scratch registers of decoded instructions. */
    static final int T0 = 17;

    static final int T1 = 18;
    static final int EA = 19;

    final GuestBus bus;
    final CpuState state = new CpuState();

    /** RAX to R15, then {@link #ZERO} and the scratch registers. */
    final long[] r = new long[32];

    final Flags flags = new Flags();
    final Fault fault = new Fault();
    final Leave leave = new Leave();
    final CodeCache code = new CodeCache();
    final Devices devices;
    final Mmu mmu;
    final Segments segments;
    final Exceptions exceptions;

    long rip;
    long retired;
    int mode;
    int cpl;

    /** The instruction before was {@code sti} or a load of SS: no interrupt before the next one. */
    boolean shadow;

    /** Set when an instruction that has been completed leaves {@link Cpu#run}. */
    @Nullable CpuExit exit;

    /** The block that has thrown last. */
    @Nullable Block faulted;

    volatile boolean attention;

    Core(GuestBus bus) {
        this.bus = bus;
        devices = new Devices(this);
        mmu = new Mmu(this);
        segments = new Segments(this);
        exceptions = new Exceptions(this);
    }

    Fault fault(int vector, int errorCode) {
        fault.vector = vector;
        fault.errorCode = errorCode;
        return fault;
    }

    Fault gp(int errorCode) {
        return fault(Fault.GP, errorCode);
    }

    Fault undefined() {
        return fault(Fault.UD, -1);
    }

    Leave leave(@Nullable CpuExit why) {
        leave.exit = why;
        return leave;
    }

    /** For a valid instruction that is not implemented. */
    Leave unsupported(String what) {
        return leave(new CpuExit.InternalError(what, new byte[0]));
    }

    void privileged() {
        if (cpl != 0) {
            throw gp(0);
        }
    }

    boolean isProtected() {
        return (state.cr0 & CR0_PE) != 0;
    }

    boolean isLong() {
        return (state.efer & EFER_LMA) != 0;
    }

    boolean is64() {
        return (mode & CODE_SIZE) == CODE_64;
    }

    /** Recomputes what decoding depends on, after a change of CR0, EFER, CPL or a segment register. */
    void updateMode() {
        SegmentRegister cs = state.cs();
        int old = mode;
        int m;
        if (isLong() && cs.l) {
            m = CODE_64;
        } else {
            m = cs.db ? 1 : 0;
            if (state.ss().db) {
                m |= STACK_32;
            }
            boolean flat = cs.base == 0
                    && cs.limit == -1
                    && state.ss().isFlat()
                    && state.segment[CpuState.DS].isFlat()
                    && state.segment[CpuState.ES].isFlat();
            if (flat) {
                m |= FLAT;
            } else {
                mmu.generation++; // base and limit of CS are not part of a block's key
            }
        }
        if (cpl == 3) {
            m |= USER;
        }
        mode = m;
        if (((old ^ m) & USER) != 0) {
            mmu.user(cpl == 3);
        }
    }

    /** Code may have been changed by others: compares each block's bytes before it runs again. */
    void codeChanged() {
        code.contents++;
        mmu.generation++;
    }

    /** Linear address of the next instruction. */
    long linearIp() {
        return is64() ? rip : (state.cs().base + rip) & 0xffffffffL;
    }
}
