// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Exceptions in 64-bit mode: vector, error code, CR2, saved state; paging rights; page crossings. */
class ExceptionsTest {
    private static final long HANDLERS = 0x20000;

    /** A machine whose handlers halt at {@code HANDLERS + 16 * vector}. */
    private static Machine machine() {
        Machine m = new Machine(4 << 20);
        m.long64();
        for (int v = 0; v < 32; v++) {
            m.gate64(v, HANDLERS + v * 16L, 0, 0);
            m.put(HANDLERS + v * 16L, 0xf4);
        }
        return m;
    }

    /** Expects this exception with the instruction at {@code rip}, and returns its error code. */
    private static long expect(Machine m, int vector, long rip) {
        CpuExit exit = m.cpu.run();
        assertInstanceOf(CpuExit.Halt.class, exit, exit.toString());
        assertEquals(HANDLERS + vector * 16L + 1, m.cpu.state().rip, "vector");
        long sp = m.gpr(4);
        boolean code = Exceptions.hasErrorCode(vector);
        assertEquals(rip, m.get64(sp + (code ? 8 : 0)), "saved instruction pointer");
        assertEquals(Machine.STACK, m.get64(sp + (code ? 32 : 24)), "saved stack pointer");
        return code ? m.get64(sp) : -1;
    }

    private static void restart(Machine m) {
        CpuState s = m.cpu.state();
        s.rip = Machine.CODE;
        s.gpr[4] = Machine.STACK;
        m.cpu.stateChanged();
    }

    @Test
    void undefinedOpcodes() {
        for (String code : new String[] {"0f0b", "06", "f00fc8", "f089c8", "0fff", "8ec8", "d6", "0f04", "c6c800"}) {
            try (Machine m = machine()) {
                m.code(Machine.CODE, "90" + code + "000000000000");
                expect(m, Fault.UD, Machine.CODE + 1);
            }
        }
    }

    @Test
    void vectorInstructionsWithoutSupport() {
        try (Machine m = machine()) {
            m.code(Machine.CODE, "0f28c1"); // movaps, CR4.OSFXSR clear
            expect(m, Fault.UD, Machine.CODE);
            m.code(Machine.CODE, "d9e8");
            m.cpu.state().cr0 |= 4;
            restart(m);
            expect(m, Fault.NM, Machine.CODE);
            m.cpu.state().cr0 &= ~4;
            m.cpu.state().cr4 |= 0x200;
            m.code(Machine.CODE, "0ffcc1"); // paddb mm0,mm1
            restart(m);
            CpuExit.InternalError e = assertInstanceOf(CpuExit.InternalError.class, m.cpu.run());
            assertEquals((byte) 0x0f, e.bytes()[0]);
            assertEquals(Machine.CODE, m.cpu.state().rip);
        }
    }

    @Test
    void divideErrors() {
        for (String code : new String[] {"48f7f1", "f7f9", "f6f1", "66f7f9", "48f7f9"}) {
            try (Machine m = machine()) {
                m.code(Machine.CODE, "90 90" + code);
                m.gpr(0, 5);
                expect(m, Fault.DE, Machine.CODE + 2);
                assertEquals(5, m.gpr(0));
            }
        }
    }

    @Test
    void generalProtection() {
        String[] codes = {
            "8ed9", // mov ds,ecx: selector out of the table
            "0f30", // wrmsr, unknown
            "0f22e1", // mov cr4 without PAE in long mode
            "488b03", // non-canonical
            "cf", // iretd with rubbish
        };
        long[] errors = {0xfff8, 0, 0, 0, 0};
        for (int i = 0; i < codes.length; i++) {
            try (Machine m = machine()) {
                CpuState s = m.cpu.state();
                s.gpr[1] = 0xfff8;
                s.gpr[3] = 0x0000800000000000L;
                m.cpu.stateChanged();
                m.code(Machine.CODE, codes[i]);
                assertEquals(errors[i], expect(m, Fault.GP, Machine.CODE), codes[i]);
            }
        }
    }

    @Test
    void pageFaultCodes() {
        long page = 0x190000;
        record Case(long entry, String code, long error) {}
        Case[] cases = {
            new Case(0, "488b03", 0),
            new Case(0, "488903", 2),
            new Case(page | 1, "488903", 3),
            new Case(page | 1, "48830301", 3),
            new Case(page | 3 | 1L << 63, "ffe3", 0x11),
            new Case(0, "ffe3", 0x10),
            new Case(0, "48ff03", 2),
            new Case(0, "f048ff03", 2),
            new Case(0, "488703", 2),
        };
        for (Case c : cases) {
            try (Machine m = machine()) {
                m.put64(Machine.pte(page), c.entry);
                m.code(Machine.CODE, c.code);
                m.gpr(3, page + 0x18);
                long rip = c.code.equals("ffe3") ? page + 0x18 : Machine.CODE;
                assertEquals(c.error, expect(m, Fault.PF, rip), c.code + " " + Long.toHexString(c.entry));
                assertEquals(page + 0x18, m.cpu.state().cr2);
            }
        }
    }

    @Test
    void userModeFaultsCarryTheUserBit() {
        try (Machine m = machine()) {
            m.put64(Machine.TSS + 4, 0x170000);
            m.put64(Machine.pte(0x190000), 0x190003); // kernel only
            m.code(Machine.CODE, "6a2b 6800001600 6802020000 6a33 6800800000 48cf");
            m.code(0x8000, "8b03");
            m.gpr(3, 0x190004);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(HANDLERS + 14 * 16 + 1, m.cpu.state().rip);
            assertEquals(5, m.get64(m.gpr(4)));
            assertEquals(0x8000, m.get64(m.gpr(4) + 8));
        }
    }

    @Test
    void writeProtectionCanBeOff() {
        try (Machine m = machine()) {
            m.put64(Machine.pte(0x190000), 0x190001);
            m.cpu.state().cr0 &= ~0x10000L;
            m.cpu.stateChanged();
            m.code(Machine.CODE, "488903 f4");
            m.gpr(3, 0x190008);
            m.gpr(0, 99);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(99, m.get64(0x190008));
        }
    }

    @Test
    void accessedAndDirtyBits() {
        try (Machine m = machine()) {
            m.code(Machine.CODE, "488b03 f4 488903 f4");
            m.gpr(3, 0x190008);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x190027, m.get64(Machine.pte(0x190000)));
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x190067, m.get64(Machine.pte(0x190000)));
            assertTrue((m.get64(Machine.PML4) & 0x20) != 0);
        }
    }

    @Test
    void accessesAcrossPages() {
        try (Machine m = machine()) {
            // two linear neighbours, far apart in memory
            m.put64(Machine.pte(0x190000), 0x1a0007);
            m.put64(Machine.pte(0x191000), 0x1c0007);
            m.code(Machine.CODE, "488903 488b0b 8303 01 f0480fc113 f4");
            m.gpr(3, 0x190ffd);
            m.gpr(0, 0x1122334455667788L);
            m.gpr(2, 5);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x1122334455667788L, m.gpr(1));
            assertEquals(0x1122334455667789L, m.gpr(2));
            assertEquals(0x66778eL, m.get32(0x1a0ffd) & 0xffffffL);
            assertEquals(0x1122334455L, m.get64(0x1c0000) & 0xffffffffffL);
        }
    }

    @Test
    void faultInTheSecondPageChangesNothing() {
        try (Machine m = machine()) {
            m.put64(Machine.pte(0x191000), 0x191001); // read-only
            m.code(Machine.CODE, "48014b05"); // add [rbx+5],rcx
            m.gpr(3, 0x190ff6);
            m.gpr(1, -1);
            long flags = m.cpu.state().rflags;
            assertEquals(3, expect(m, Fault.PF, Machine.CODE));
            assertEquals(0x191000, m.cpu.state().cr2);
            assertEquals(0, m.get32(0x190ffb));
            assertEquals(flags, m.get64(m.gpr(4) + 24));
        }
    }

    @Test
    void instructionAcrossPages() {
        try (Machine m = machine()) {
            m.put64(Machine.pte(0x190000), 0x1a0007);
            m.put64(Machine.pte(0x191000), 0x1c0007);
            m.code(0x1a0ffb, "48b81122334455667788".substring(0, 10));
            m.code(0x1c0000, "48b81122334455667788f4".substring(10));
            m.cpu.state().rip = 0x190ffb;
            m.cpu.stateChanged();
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x8877665544332211L, m.gpr(0));
            m.put64(Machine.pte(0x191000), 0);
            m.cpu.flushTranslations();
            restart(m);
            m.cpu.state().rip = 0x190ffb;
            m.cpu.stateChanged();
            assertEquals(0x10, expect(m, Fault.PF, 0x190ffb));
            assertEquals(0x191000, m.cpu.state().cr2);
        }
    }

    @Test
    void interruptStackTable() {
        try (Machine m = machine()) {
            m.gate64(Fault.PF, HANDLERS + 14 * 16, 3, 0);
            m.put64(Machine.TSS + 0x24 + 16, 0x178008); // IST3, to be aligned
            m.put64(Machine.pte(0x190000), 0);
            m.code(Machine.CODE, "8b03");
            m.gpr(3, 0x190000);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x178000 - 48, m.gpr(4));
            assertEquals(Machine.STACK, m.get64(0x178000 - 16));
        }
    }

    @Test
    void doubleAndTripleFault() {
        try (Machine m = machine()) {
            m.put64(Machine.IDT + 14 * 16 + 4, 0); // #PF gate not present any more
            m.put64(Machine.IDT + 14 * 16, 0);
            m.put64(Machine.pte(0x190000), 0);
            m.code(Machine.CODE, "8b03");
            m.gpr(3, 0x190000);
            assertEquals(0, expect(m, Fault.DF, Machine.CODE));
            m.put64(Machine.IDT + 8 * 16, 0);
            restart(m);
            assertInstanceOf(CpuExit.Shutdown.class, m.cpu.run());
            assertInstanceOf(CpuExit.Shutdown.class, m.cpu.run());
            m.code(Machine.CODE, "f4");
            restart(m);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
        }
    }

    @Test
    void singleStep() {
        try (Machine m = machine()) {
            // pushf; or dword [rsp],100; popf; nop
            m.code(Machine.CODE, "9c 810c2400010000 9d 90 90");
            assertEquals(-1, expect(m, Fault.DB, Machine.CODE + 10));
        }
    }

    @Test
    void injectedExceptionAndNmi() {
        try (Machine m = machine()) {
            m.code(Machine.CODE, "f4");
            m.cpu.injectException(Fault.GP, 0x58);
            assertEquals(0x58, expect(m, Fault.GP, Machine.CODE));
            restart(m);
            m.cpu.injectNmi();
            expect(m, 2, Machine.CODE);
        }
    }

    @Test
    void blockedPagesLeaveWithoutATrace() {
        try (Machine m = machine()) {
            m.blocked.add(0x190000L);
            m.code(Machine.CODE, "4801 03 f4"); // add [rbx],rax
            m.gpr(3, 0x190008);
            m.gpr(0, 4);
            for (int i = 0; i < 2; i++) {
                CpuExit.MemoryFault f = assertInstanceOf(CpuExit.MemoryFault.class, m.cpu.run());
                assertEquals(0x190008, f.gpa());
                assertTrue(f.write());
                assertEquals(Machine.CODE, m.cpu.state().rip);
            }
            m.blocked.clear();
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(4, m.get64(0x190008));
            m.cpu.flushTranslations();
            m.blocked.add(Machine.PML4 + 0x6000);
            restart(m);
            m.cpu.state().rip = 0x5000;
            m.cpu.stateChanged();
            assertInstanceOf(CpuExit.MemoryFault.class, m.cpu.run(), "a page table");
            m.blocked.clear();
            m.blocked.add(0x5000L);
            assertTrue(((CpuExit.MemoryFault) m.cpu.run()).fetch());
            m.blocked.clear();
            m.put(0x5000, 0xf4);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
        }
    }

    @Test
    void interruptSurvivesABlockedStack() {
        try (Machine m = machine()) {
            m.gate64(0x40, 0x9000, 0, 0);
            m.code(0x9000, "f4");
            m.code(Machine.CODE, "90f4");
            m.blocked.add(Machine.STACK - 4096);
            m.cpu.injectInterrupt(0x40);
            assertInstanceOf(CpuExit.MemoryFault.class, m.cpu.run());
            assertEquals(Machine.CODE, m.cpu.state().rip);
            assertEquals(Machine.STACK, m.gpr(4));
            m.blocked.clear();
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x9001, m.cpu.state().rip);
        }
    }
}
