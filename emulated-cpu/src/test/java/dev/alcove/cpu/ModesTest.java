// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Real mode, the way to long mode, and code of other sizes. */
class ModesTest {
    @Test
    void powerOnState() {
        try (Machine m = new Machine(1 << 20)) {
            CpuState s = m.cpu.state();
            assertEquals(0xfff0, s.rip);
            assertEquals(0xffff0000L, s.segment[CpuState.CS].base);
            assertEquals(2, s.rflags);
            assertEquals(0x60000010L, s.cr0);
        }
    }

    @Test
    void realModeSegmentsInterruptsAndLimits() {
        try (Machine m = new Machine(1 << 20)) {
            CpuState s = m.cpu.state();
            s.segment[CpuState.CS].set(0x100, 0x1000, 0xffff, 0x9b00);
            s.rip = 0;
            s.gpr[4] = 0x8000;
            m.cpu.stateChanged();
            // mov ax,2000; mov ds,ax; mov word [10],1234; int 21h; mov bx,[10]; mov al,[ffff]; mov ax,[ffff]
            m.code(0x1000, "b80020 8ed8 c706 1000 3412 cd21 8b1e1000 a0ffff a1ffff");
            m.code(0x84, "0000 0003"); // int 21h at 0300:0000
            m.code(13 * 4, "0000 0004"); // #GP at 0400:0000
            m.code(0x3000, "8306 1000 01 cf"); // add word [10],1; iret
            m.code(0x4000, "f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x1235, m.gpr(3) & 0xffff);
            assertEquals(0x1235, m.get32(0x20010) & 0xffff);
            s = m.cpu.state();
            assertEquals(0x4001, s.segment[CpuState.CS].base + s.rip);
            assertEquals(0x7ffa, s.gpr[4]);
            assertEquals(0x14, m.get32(0x7ffa) & 0xffff, "the address of the last instruction");
        }
    }

    /** From real mode over protected mode to 64-bit code, with instructions a boot loader would use. */
    @Test
    void realToProtectedToLong() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64(); // page tables and GDT
            m.cpu.state().reset();
            CpuState s = m.cpu.state();
            s.segment[CpuState.CS].set(0, 0, 0xffff, 0x9b00);
            s.rip = 0x7000;
            m.cpu.stateChanged();
            m.code(0x6000, "7f00 00100000"); // the operand of lgdt
            // lgdt [6000]; mov eax,cr0; or al,1; mov cr0,eax; jmp far dword 18:7100
            m.code(0x7000, "0f01160060 0f20c0 0c01 0f22c0 66ea00710000 1800");
            // mov ax,10; mov ds,ax; mov es,ax; mov ss,ax; mov esp,180000; mov eax,cr4; or eax,20; mov cr4,eax
            m.code(0x7100, "66b81000 8ed8 8ec0 8ed0 bc00001800 0f20e0 83c820 0f22e0"
                    // mov eax,10000; mov cr3,eax; mov ecx,c0000080; rdmsr; or eax,900; wrmsr
                    + "b800000100 0f22d8 b9800000c0 0f32 0d00090000 0f30"
                    // mov eax,cr0; or eax,80010000; mov cr0,eax; (compatibility mode) push 7; call +0; jmp far 8:7200
                    + "0f20c0 0d00000180 0f22c0 6a07 e800000000 ea00720000 0800");
            // mov rax,1122334455667788; push rax; mov rbx,cr0; mov ecx,c0000080; rdmsr; hlt
            m.code(0x7200, "48b88877665544332211 50 0f20c3 b9800000c0 0f32 f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            s = m.cpu.state();
            assertTrue(s.segment[CpuState.CS].l);
            assertEquals(0xd00, s.gpr[0]);
            assertEquals(0xd00, s.efer);
            assertEquals(0x180000 - 16, s.gpr[4]);
            assertEquals(0x1122334455667788L, m.get64(0x180000 - 16));
            assertEquals(7, m.get32(0x180000 - 4));
            assertTrue((s.gpr[3] & 0x80000001L) == 0x80000001L);
        }
    }

    @Test
    void protectedModeWithTwoLevelPaging() {
        try (Machine m = new Machine(8 << 20)) {
            m.protected32();
            CpuState s = m.cpu.state();
            s.cr3 = 0x200000;
            s.cr4 = 0x10;
            s.cr0 = 0x80000011L;
            m.cpu.stateChanged();
            m.memory.set(java.lang.foreign.ValueLayout.JAVA_INT, 0x200000, 0x83); // 4 MiB page
            m.memory.set(java.lang.foreign.ValueLayout.JAVA_INT, 0x200000 + 0x300 * 4, 0x201003); // c0000000
            m.memory.set(java.lang.foreign.ValueLayout.JAVA_INT, 0x201000 + 5 * 4, 0x400003);
            // mov dword [c0005010],12345678; mov eax,[c0005010]; call +1; hlt; ret
            m.code(Machine.CODE, "c70510500 0c078563412 a1105000c0 e801000000 f4 c3".replace(" ", ""));
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x12345678, m.gpr(0));
            assertEquals(0x12345678, m.get32(0x400010));
            assertEquals(0x400063, m.get32(0x201014), "accessed and dirty");
            assertEquals(Machine.STACK, m.gpr(4));
        }
    }

    @Test
    void segmentLimitsAndBases() {
        try (Machine m = new Machine(4 << 20)) {
            m.protected32();
            CpuState s = m.cpu.state();
            s.segment[CpuState.DS].set(Machine.DATA, 0x130000, 0xfff, 0x409300);
            m.cpu.stateChanged();
            m.gate64(0, 0, 0, 0);
            // 32-bit gate for #GP
            m.put64(Machine.IDT + 13 * 8, 0x9000L | 0x18L << 16 | 0x8eL << 40);
            m.code(0x9000, "f4");
            // mov eax,77; mov [ffc],eax; mov [ffd],eax
            m.code(Machine.CODE, "b877000000 a3fc0f0000 a3fd0f0000");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x77, m.get32(0x130ffc));
            assertEquals(0, m.get32(0x131000));
            assertEquals(0x9001, m.cpu.state().rip);
            assertEquals(Machine.CODE + 10, m.get32(Machine.STACK - 12));
            assertEquals(0, m.get32(Machine.STACK - 16));
        }
    }

    @Test
    void decimalAdjustmentAndOtherOldInstructions() {
        try (Machine m = new Machine(4 << 20)) {
            m.protected32();
            // mov al,79; add al,35; daa; mov bl,al; mov ax,0x105; aad; mov cx,ax; aam; pusha; popa; hlt
            m.code(Machine.CODE, "b079 0435 27 88c3 66b80501 d50a 6689c1 d40a 60 61 f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x14, m.gpr(3));
            assertEquals(15, m.gpr(1));
            assertEquals(0x105, m.gpr(0) & 0xffff);
            assertEquals(Machine.STACK, m.gpr(4));
        }
    }

    @Test
    void userModeAndBackBySyscallAndIret() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            CpuState s = m.cpu.state();
            s.star = 0x0008L << 32 | 0x0023L << 48;
            s.lstar = 0x9000;
            s.fmask = 0x200;
            m.cpu.stateChanged();
            m.put64(Machine.TSS + 4, 0x170000); // RSP0
            m.gate64(0x80, 0xa000, 0, 3);
            // push 2b; push 160000; push 3202 (IOPL 3); push 33; push 8000; iretq
            m.code(Machine.CODE, "6a2b 6800001600 6802320000 6a33 6800800000 48cf");
            // mov eax,5; syscall; int 80; hlt (#GP would be a triple fault)
            m.code(0x8000, "b805000000 0f05 cd80 f4");
            // (kernel) mov ebx,eax; mov rdx,rcx; swapgs; swapgs; sysretq
            m.code(0x9000, "89c3 4889ca 0f01f8 0f01f8 480f07");
            // (kernel) mov esi,7; hlt
            m.code(0xa000, "be07000000 f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            s = m.cpu.state();
            assertEquals(5, s.gpr[3]);
            assertEquals(0x8007, s.gpr[2]);
            assertEquals(7, s.gpr[6]);
            assertEquals(0, s.segment[CpuState.CS].dpl);
            assertEquals(0x170000 - 40, s.gpr[4]);
            assertEquals(0x8009, m.get64(0x170000 - 40));
            assertEquals(Machine.USER_CS64, m.get64(0x170000 - 32));
            assertEquals(0x160000, m.get64(0x170000 - 16));
            assertEquals(Machine.USER_DATA, m.get64(0x170000 - 8));
            assertInstanceOf(CpuExit.Shutdown.class, m.cpu.run());
        }
    }

    @Test
    void compatibilityModeCode() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.put64(Machine.TSS + 4, 0x170000);
            m.gate64(0x80, 0xa000, 0, 3);
            // to 32-bit user code by iretq
            m.code(Machine.CODE, "6a2b 6800001600 6802020000 6a23 6800800000 48cf");
            // mov ax,2b; mov ds,ax; inc eax (40); mov [b000],esp; push ds; mov ecx,[esp]; les ebx,[b000]... int 80
            m.code(0x8000, "66b82b00 8ed8 8ec0 40 892500b00000 1e 8b0c24 cd80");
            m.code(0xa000, "f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x2c, m.gpr(0));
            assertEquals(0x160000, m.get32(0xb000));
            assertEquals(0x2b, m.gpr(1));
            assertEquals(0x15fffc, m.get64(0x170000 - 16));
        }
    }

    @Test
    void interruptFlagShadowAndWindow() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.gate64(0x40, 0x9000, 0, 0);
            m.code(0x9000, "ffc3 48cf"); // inc ebx; iretq
            // sti; inc eax; inc eax; hlt
            m.code(Machine.CODE, "fb ffc0 ffc0 f4");
            boolean[] sent = new boolean[1];
            long[] at = new long[1];
            m.attend = c -> {
                if (!sent[0]) {
                    if (c.interruptible()) {
                        sent[0] = true;
                        at[0] = c.state().rip;
                        c.injectInterrupt(0x40);
                        assertFalse(c.interruptible());
                    } else {
                        c.requestInterruptWindow();
                    }
                }
                return true;
            };
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(1, m.gpr(3));
            assertEquals(2, m.gpr(0));
            assertEquals(Machine.CODE + 3, at[0], "not in the shadow of sti");
        }
    }

    @Test
    void attendMayEndTheRun() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.code(Machine.CODE, "ebfe");
            int[] calls = new int[1];
            m.attend = c -> {
                c.attention();
                return ++calls[0] < 5;
            };
            assertInstanceOf(CpuExit.Interrupted.class, m.cpu.run());
            assertEquals(5, calls[0]);
            assertEquals(Machine.CODE, m.cpu.state().rip);
        }
    }

    @Test
    void modelSpecificRegistersCpuidAndTsc() {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.msrs.put(0x1b, 0xfee00900L);
            // mov ecx,1b; rdmsr; mov ebx,eax; or eax,1; wrmsr; mov eax,7; mov ecx,2; cpuid; mov esi,eax; mov edi,ebx
            m.code(Machine.CODE, "b91b000000 0f32 89c3 83c801 0f30 b807000000 b902000000 0fa2 89c6 89df"
                    // rdtsc; mov r8,rax; rdtscp; sub rax,r8; hlt
                    + "0f31 4989c0 0f01f9 4c29c0 f4");
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0xfee00901L, m.msrs.get(0x1b));
            assertEquals(7, m.gpr(6));
            assertEquals(2, m.gpr(7));
            assertEquals(1, m.gpr(0));
        }
    }
}
