// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

/** What an operating system sees of x87 and SSE: control bits, exceptions, faults, and the saved images. */
class FpuSystemTest {
    private static final long HANDLER = 0x9000;
    private static final String MOVUPS = "0f1007"; // movups xmm0,[rdi]
    private static final String FLD1 = "d9e8";

    /** A machine whose handler of exception n halts at HANDLER + n * 16 + 1. */
    private static Machine machine(long cr0, long cr4) {
        Machine m = new Machine(4 << 20);
        m.long64();
        CpuState s = m.cpu.state();
        s.cr0 |= cr0;
        s.cr4 |= cr4;
        s.gpr[7] = 0x20000;
        m.cpu.stateChanged();
        for (int i = 0; i < 32; i++) {
            m.gate64(i, HANDLER + i * 16L, 0, 0);
            m.code(HANDLER + i * 16L, "f4");
        }
        return m;
    }

    /** The exception that the code raises, or -1 when it gets as far as its end. */
    private static int run(Machine m, String code) {
        m.code(Machine.CODE, code + "f4");
        assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
        long rip = m.cpu.state().rip;
        return rip >= HANDLER && rip < HANDLER + 0x200 ? (int) (rip - HANDLER - 1) / 16 : -1;
    }

    private static int raised(long cr0, long cr4, String code) {
        try (Machine m = machine(cr0, cr4)) {
            return run(m, code);
        }
    }

    @Test
    void controlBits() {
        long sse = Core.CR4_OSFXSR;
        assertEquals(Fault.UD, raised(0, 0, MOVUPS));
        assertEquals(-1, raised(0, sse, MOVUPS));
        assertEquals(Fault.NM, raised(Core.CR0_TS, sse, MOVUPS));
        assertEquals(Fault.UD, raised(Core.CR0_TS, 0, MOVUPS));
        assertEquals(Fault.UD, raised(Core.CR0_EM | Core.CR0_TS, sse, MOVUPS));
        assertEquals(-1, raised(0, 0, FLD1));
        assertEquals(Fault.NM, raised(Core.CR0_TS, 0, FLD1));
        assertEquals(Fault.NM, raised(Core.CR0_EM, 0, FLD1));
        assertEquals(Fault.NM, raised(Core.CR0_TS, 0, "9b"), "fwait: CR0.MP is set");
        assertEquals(Fault.NM, raised(Core.CR0_TS, 0, "0fae07"), "fxsave");
        assertEquals(-1, raised(Core.CR0_TS, sse, "0fc307"), "movnti");
        assertEquals(-1, raised(Core.CR0_TS, 0, "0faee8 0faef0 0faef8 f390"), "fences and pause");
        assertEquals(Fault.UD, raised(0, sse, "0f01d0"), "xgetbv");
        assertEquals(Fault.UD, raised(0, sse, "0fae27"), "xsave");
        assertEquals(Fault.NM, raised(Core.CR0_TS, sse | Core.CR4_OSXSAVE, "0fae27"));
        assertEquals(-1, raised(Core.CR0_TS, sse, "0f06 0f1007"), "clts");
    }

    @Test
    void floatingPointExceptions() {
        // mov dword [rdi],1f00; ldmxcsr [rdi]; xorps xmm0,xmm0; movaps xmm1,xmm0; divss xmm0,xmm1
        String unmasked = "c70700 1f0000 0fae17 0f57c0 0f28c8 f30f5ec1";
        assertEquals(Fault.XM, raised(0, Core.CR4_OSFXSR | Core.CR4_OSXMMEXCPT, unmasked));
        assertEquals(Fault.UD, raised(0, Core.CR4_OSFXSR, unmasked));
        // fninit; fldcw without masks; fldz; fldz; fdivp; fwait
        String x87 = "c7074003 0000 dbe3 d92f d9ee d9ee def9 9b";
        assertEquals(Fault.MF, raised(Core.CR0_NE, 0, x87));
        try (Machine m = machine(Core.CR0_NE, 0)) {
            assertEquals(-1, run(m, "c7074003 0000 dbe3 d92f d9ee d9ee def9 dfe0 dbe2 9b"), "fnclex");
            assertEquals(0x8081, m.gpr(0) & 0xc0ff);
            assertEquals(0, m.cpu.state().fpu.status & 0x80ff);
        }
    }

    @Test
    void alignment() {
        long sse = Core.CR4_OSFXSR;
        assertEquals(Fault.GP, raised(0, sse, "0f284701"), "movaps");
        assertEquals(-1, raised(0, sse, "0f104701"));
        assertEquals(Fault.GP, raised(0, sse, "0f584708"), "addps");
        assertEquals(Fault.GP, raised(0, sse, "660fe74708"), "movntdq");
        assertEquals(-1, raised(0, sse, "f20ff04708"), "lddqu");
        assertEquals(-1, raised(0, sse, "660f3a624708 00"), "pcmpistrm");
        assertEquals(Fault.GP, raised(0, sse, "480fae4708"), "fxsave");
        assertEquals(Fault.GP, raised(0, sse | Core.CR4_OSXSAVE, "480fae6710"), "xsave");
    }

    @Test
    void undefinedForms() {
        long sse = Core.CR4_OSFXSR;
        assertEquals(Fault.UD, raised(0, sse, "0f13c0"), "movlps between registers");
        assertEquals(Fault.UD, raised(0, sse, "0f2bc0"), "movntps to a register");
        assertEquals(Fault.UD, raised(0, sse, "0f5007"), "movmskps of memory");
        assertEquals(Fault.UD, raised(0, sse, "660f72c001"), "group 13 without this shift");
        assertEquals(Fault.UD, raised(0, sse, "f0f20f10c0"), "lock");
        assertEquals(Fault.UD, raised(0, sse, "660f38ffc0"));
        assertEquals(Fault.UD, raised(0, sse, "d9d1"));
    }

    @Test
    void faultInTheSecondPageLeavesTheStateAlone() {
        try (Machine m = machine(0, Core.CR4_OSFXSR)) {
            m.put64(Machine.pte(0x21000), 0);
            m.put64(0x20ff8, 0x1111);
            CpuState s = m.cpu.state();
            s.fpu.xmm[0] = 5;
            s.fpu.xmm[1] = 6;
            s.gpr[7] = 0x20ff8;
            s.cr3 = s.cr3 | 8;
            m.cpu.stateChanged();
            assertEquals(Fault.PF, run(m, MOVUPS));
            s = m.cpu.state();
            assertEquals(0x21000, s.cr2);
            assertEquals(5, s.fpu.xmm[0]);
            assertEquals(6, s.fpu.xmm[1]);
        }
        try (Machine m = machine(0, Core.CR4_OSFXSR)) {
            m.put64(Machine.pte(0x21000), 0);
            m.put64(0x20ff8, 0x1111);
            CpuState s = m.cpu.state();
            s.fpu.xmm[0] = 5;
            s.gpr[7] = 0x20ff8;
            s.cr3 = s.cr3 | 8;
            m.cpu.stateChanged();
            assertEquals(Fault.PF, run(m, "0f1107"), "movups [rdi],xmm0");
            assertEquals(0x1111, m.get64(0x20ff8));
            s = m.cpu.state();
            s.rip = Machine.CODE;
            s.gpr[7] = 0x20f00;
            m.cpu.stateChanged();
            assertEquals(Fault.PF, run(m, "480fae07"), "fxsave64");
            assertEquals(0, m.get64(0x20f00));
        }
    }

    @Test
    void fxsaveRoundTrip() {
        try (Machine m = machine(0, Core.CR4_OSFXSR)) {
            // fninit; fld1; fldpi; mov eax,55; movd xmm9,eax; fxsave64; fninit; pxor xmm9,xmm9; fxrstor64; fstp [rdi-8]
            assertEquals(-1, run(m, "dbe3 d9e8 d9eb b855000000 66440f6ec8 480fae07 dbe3 66450fefc9 480fae0f dd5ff8"));
            assertEquals(Double.doubleToRawLongBits(Math.PI), m.get64(0x20000 - 8));
            FpuState f = m.cpu.state().fpu;
            assertEquals(0x55, f.xmm[18]);
            assertEquals(0x80, f.tags);
            assertEquals(0x3000, m.get64(0x20000) >>> 16 & 0xffff);
            assertEquals(0xc0, m.get8(0x20004));
            assertEquals(0xffff, m.get32(0x2001c));
        }
    }

    @Test
    void xsaveRoundTrip() {
        try (Machine m = machine(0, Core.CR4_OSFXSR | Core.CR4_OSXSAVE)) {
            // xor ecx,ecx; xor edx,edx; mov eax,3; xsetbv; xor eax,eax; xgetbv; mov ebx,eax
            assertEquals(-1, run(m, "31c9 31d2 b803000000 0f01d1 31c0 0f01d0 89c3"
                    // movd xmm1,ebx; mov eax,2; xsave64; pxor xmm1,xmm1; mov eax,3; xrstor64
                    + "660f6ecb b802000000 480fae27 660fefc9 b803000000 480fae2f"));
            assertEquals(3, m.gpr(3));
            assertEquals(3, m.cpu.state().fpu.xmm[2]);
            assertEquals(2, m.get64(0x20200), "XSTATE_BV");
            assertEquals(0, m.get64(0x20000), "the part of the FPU was not asked for");
        }
        try (Machine m = machine(0, Core.CR4_OSFXSR | Core.CR4_OSXSAVE)) {
            m.put64(0x20208, 1L << 63); // compacted
            assertEquals(Fault.GP, run(m, "b803000000 480fae2f"));
        }
        assertEquals(Fault.GP, raised(0, Core.CR4_OSXSAVE, "31c9 31d2 b806000000 0f01d1"), "xsetbv without x87");
        assertEquals(Fault.GP, raised(0, Core.CR4_OSXSAVE, "31c9 31d2 b807000000 0f01d1"), "AVX");
        assertEquals(Fault.GP, raised(0, Core.CR4_OSFXSR, "c707 00000100 0fae17"), "ldmxcsr with a reserved bit");
    }
}
