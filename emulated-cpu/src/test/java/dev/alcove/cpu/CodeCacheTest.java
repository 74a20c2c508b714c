// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

/** Code that changes: by itself, by others, by another mapping. */
class CodeCacheTest {
    private static void halt(Machine m) {
        CpuExit exit = m.cpu.run();
        assertInstanceOf(CpuExit.Halt.class, exit, exit.toString());
    }

    @Test
    void changesTheNextInstruction() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            // mov byte [rip+1],5 changes the constant of mov eax,1; three times
            m.code(Machine.CODE, "b903000000 c6050100000007 b801000000 01c2 fe05f4ffffff ffc9 75e8 f4");
            halt(m);
            assertEquals(7, m.gpr(0));
            assertEquals(21, m.gpr(2));
        }
    }

    @Test
    void writesToOtherCodeOfThePage() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            // l: call f; inc dword [f+1]; dec ecx; jnz l; hlt
            m.code(Machine.CODE, "b9e8030000 e8f6000000 ff05f1000000 ffc9 75f1 f4");
            m.code(Machine.CODE + 0x100, "b801000000 01c2 c3");
            halt(m);
            assertEquals(500500, m.gpr(2));
        }
    }

    @Test
    void dataInACodePageKeepsWorking() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            // l: inc dword [rip+200]; dec ecx; jnz l; hlt
            m.code(Machine.CODE, "b9a0860100 ff0500020000 ffc9 75f6 f4");
            halt(m);
            assertEquals(100000, m.get32(Machine.CODE + 0x20b));
        }
    }

    @Test
    void writesFromOutsideBetweenRuns() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.code(Machine.CODE, "b801000000 f4");
            halt(m);
            assertEquals(1, m.gpr(0));
            m.put(Machine.CODE + 1, 9);
            m.cpu.state().rip = Machine.CODE;
            m.cpu.stateChanged();
            halt(m);
            assertEquals(9, m.gpr(0));
            m.put(Machine.CODE + 1, 10);
            m.cpu.flushCode();
            m.cpu.state().rip = Machine.CODE;
            m.cpu.stateChanged();
            halt(m);
            assertEquals(10, m.gpr(0));
        }
    }

    @Test
    void anotherPageAtTheSameAddress() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            // call rsi; mov [rdi],rdx; invlpg [rsi]; call rsi; hlt: the page table entry changes between
            m.code(Machine.CODE, "ffd6 01c3 488917 0f013e ffd6 01c3 f4");
            m.code(0x190000, "b801000000 c3");
            m.code(0x191000, "b810000000 c3");
            CpuState s = m.cpu.state();
            s.gpr[6] = 0x190000;
            s.gpr[7] = Machine.pte(0x190000);
            s.gpr[2] = 0x191007;
            m.cpu.stateChanged();
            halt(m);
            assertEquals(17, m.gpr(3));
        }
    }

    @Test
    void writesThroughAnotherMapping() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.put64(Machine.pte(0x191000), 0x190007); // the same page again
            // call rsi; mov byte [rdi],5; call rsi; hlt
            m.code(Machine.CODE, "ffd6 c60705 ffd6 f4");
            m.code(0x190000, "b801000000 01c2 c3");
            CpuState s = m.cpu.state();
            s.gpr[6] = 0x190000;
            s.gpr[7] = 0x191001;
            m.cpu.stateChanged();
            halt(m);
            assertEquals(6, m.gpr(2));
        }
    }

    @Test
    void stringStoreIntoCode() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            // call rbx; mov rdi,rbx; mov al,90; mov ecx,7; rep stosb; call rbx; hlt
            m.code(Machine.CODE, "ffd3 4889df b090 b907000000 f3aa ffd3 f4");
            m.code(0x190000, "ba01000000 ffc2 c3");
            m.code(0x190007, "c3");
            m.gpr(3, 0x190000);
            m.gpr(2, 50);
            halt(m);
            assertEquals(2, m.gpr(2));
        }
    }
}
