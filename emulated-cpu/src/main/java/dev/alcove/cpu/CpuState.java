// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * The architectural state of one processor as its owner sees it between two runs. After a change call
 * {@link Cpu#stateChanged()}.
 */
public final class CpuState {
    /** Indices into {@link #segment}, in the order of the instruction encoding. */
    public static final int ES = 0;
    public static final int CS = 1;
    public static final int SS = 2;
    public static final int DS = 3;
    public static final int FS = 4;
    public static final int GS = 5;

    /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: the order of the instruction encoding. */
    public final long[] gpr = new long[16];

    public long rip;
    public long rflags;

    /** ES, CS, SS, DS, FS, GS. */
    public final SegmentRegister[] segment = new SegmentRegister[6];

    public final SegmentRegister ldtr = new SegmentRegister();
    public final SegmentRegister tr = new SegmentRegister();
    public long gdtBase;

    /** Last valid offset, 16 bits; so is {@link #idtLimit}. */
    public int gdtLimit;

    public long idtBase;
    public int idtLimit;
    public long cr0;
    public long cr2;
    public long cr3;
    public long cr4;

    /** Task priority, 4 bits. */
    public long cr8;

    public long efer;

    /** DR0 to DR7. Breakpoints are held, but never hit. */
    public final long[] dr = new long[8];

    public long star;
    public long lstar;
    public long cstar;
    public long fmask;
    public long kernelGsBase;
    public long sysenterCs;
    public long sysenterEsp;
    public long sysenterEip;
    public long pat;
    public long tscAux;

    /** Added to {@link GuestBus#tsc()} for the guest. */
    public long tscOffset;

    /** The x87 FPU, MXCSR, the XMM registers and XCR0. */
    public final FpuState fpu = new FpuState();

    /** Power-on state. */
    public CpuState() {
        for (int i = 0; i < segment.length; i++) {
            segment[i] = new SegmentRegister();
        }
        reset();
    }

    /** Sets the state after power-on or RESET (Intel SDM volume 3, 11.1.1). */
    public void reset() {
        java.util.Arrays.fill(gpr, 0);
        gpr[2] = 0x600;
        rip = 0xfff0;
        rflags = 2;
        for (SegmentRegister s : segment) {
            s.set(0, 0, 0xffff, 0x9300);
        }
        segment[CS].set(0xf000, 0xffff0000L, 0xffff, 0x9b00);
        ldtr.set(0, 0, 0xffff, 0x8200);
        tr.set(0, 0, 0xffff, 0x8b00);
        gdtBase = 0;
        gdtLimit = 0xffff;
        idtBase = 0;
        idtLimit = 0xffff;
        cr0 = 0x60000010L;
        cr2 = 0;
        cr3 = 0;
        cr4 = 0;
        cr8 = 0;
        efer = 0;
        java.util.Arrays.fill(dr, 0);
        dr[6] = 0xffff0ff0L;
        dr[7] = 0x400;
        star = 0;
        lstar = 0;
        cstar = 0;
        fmask = 0;
        kernelGsBase = 0;
        sysenterCs = 0;
        sysenterEsp = 0;
        sysenterEip = 0;
        pat = 0x0007040600070406L;
        tscAux = 0;
        tscOffset = 0;
        fpu.reset();
    }

    SegmentRegister cs() {
        return segment[CS];
    }

    SegmentRegister ss() {
        return segment[SS];
    }
}
