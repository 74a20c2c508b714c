// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.List;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

/** Accesses to ports and device registers: exits, completion, nothing lost and nothing done twice. */
class DevicesTest {
    private static final long DEVICE = 0x40000000L;

    private static Machine machine(String code) {
        Machine m = new Machine(4 << 20);
        m.long64();
        m.code(Machine.CODE, code);
        m.gpr(3, DEVICE);
        return m;
    }

    private static void mmio(Machine m, boolean write, long gpa, int size, long value) {
        assertEquals(new CpuExit.Mmio(write, gpa, size, value), m.cpu.run());
    }

    @Test
    void readsLeaveAndAreCompleted() {
        try (Machine m = machine("90 8b4304 90 668b4b08 0fb65301 488b33 f4")) {
            mmio(m, false, DEVICE + 4, 4, 0);
            assertEquals(Machine.CODE + 1, m.cpu.state().rip);
            m.cpu.completeRead(0xaabbccdd11223344L);
            mmio(m, false, DEVICE + 8, 2, 0);
            assertEquals(0x11223344, m.gpr(0));
            m.cpu.completeRead(0x5566);
            mmio(m, false, DEVICE + 1, 1, 0);
            m.cpu.completeRead(0x77);
            mmio(m, false, DEVICE, 8, 0);
            m.cpu.completeRead(-2);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x5566, m.gpr(1));
            assertEquals(0x77, m.gpr(2));
            assertEquals(-2, m.gpr(6));
            assertEquals(7, m.cpu.instructions(), "retired");
        }
    }

    @Test
    void theBusAnswers() {
        try (Machine m = machine("8b4304 8943 08 e410 66e711 f4")) {
            m.answers = true;
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(
                    List.of("r 40000004 4", "w 40000008 4 40000004", "in 16 1", "out 17 2 10"), m.log);
        }
    }

    @Test
    void writesCompleteBeforeTheyLeave() {
        try (Machine m = machine("48890b c7430844332211 ffc0 f4")) {
            m.gpr(1, 0x123456789abcdefL);
            mmio(m, true, DEVICE, 8, 0x123456789abcdefL);
            assertEquals(Machine.CODE + 3, m.cpu.state().rip);
            mmio(m, true, DEVICE + 8, 4, 0x11223344);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(1, m.gpr(0));
        }
    }

    @Test
    void readModifyWrite() {
        try (Machine m = machine("830305 f0830307 8703 f4")) {
            for (int i = 0; i < 2; i++) {
                mmio(m, false, DEVICE, 4, 0);
                m.cpu.completeRead(10);
                mmio(m, true, DEVICE, 4, i == 0 ? 15 : 17);
            }
            m.gpr(0, 3);
            mmio(m, false, DEVICE, 4, 0);
            m.cpu.completeRead(20);
            mmio(m, true, DEVICE, 4, 3);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(20, m.gpr(0));
            assertEquals(6, m.log.size());
        }
    }

    @Test
    void fragmentsOfAnAccessAcrossPages() {
        try (Machine m = machine("488903 488b0b f4")) {
            m.gpr(3, DEVICE + 0xffd);
            m.gpr(0, 0x8877665544332211L);
            mmio(m, true, DEVICE + 0xffd, 3, 0x332211);
            mmio(m, true, DEVICE + 0x1000, 5, 0x8877665544L);
            mmio(m, false, DEVICE + 0xffd, 3, 0);
            m.cpu.completeRead(0x030201);
            mmio(m, false, DEVICE + 0x1000, 5, 0);
            m.cpu.completeRead(0x0807060504L);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x0807060504030201L, m.gpr(1));
        }
    }

    @Test
    void repeatedPortAccess() {
        try (Machine m = machine("f3 66 6d f3 6e f4")) { // rep insw; rep outsb
            CpuState s = m.cpu.state();
            s.gpr[1] = 3;
            s.gpr[2] = 0x3f8;
            s.gpr[7] = 0x190000;
            m.cpu.stateChanged();
            for (int i = 0; i < 3; i++) {
                assertEquals(new CpuExit.Io(false, 0x3f8, 2, 0), m.cpu.run());
                assertEquals(3 - i, m.gpr(1));
                m.cpu.completeRead(0x1100 + i);
            }
            assertEquals(0x1101_1100, m.get32(0x190000)); // the third one is stored by the next run
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x1102, m.get32(0x190004));
            s = m.cpu.state();
            s.rip = Machine.CODE + 3;
            s.gpr[1] = 2;
            s.gpr[6] = 0x190003;
            m.cpu.stateChanged();
            assertEquals(new CpuExit.Io(true, 0x3f8, 1, 0x11), m.cpu.run());
            assertEquals(1, m.gpr(1));
            assertEquals(new CpuExit.Io(true, 0x3f8, 1, 0x02), m.cpu.run());
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0, m.gpr(1));
            assertEquals(0x190005, m.gpr(6));
        }
    }

    @Test
    void stringMovesToADevice() {
        try (Machine m = machine("f3a4 f4")) { // rep movsb
            CpuState s = m.cpu.state();
            s.gpr[1] = 2;
            s.gpr[6] = DEVICE;
            s.gpr[7] = DEVICE + 0x100;
            m.cpu.stateChanged();
            for (int i = 0; i < 2; i++) {
                mmio(m, false, DEVICE + i, 1, 0);
                m.cpu.completeRead(5 + i);
                mmio(m, true, DEVICE + 0x100 + i, 1, 5 + i);
            }
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
        }
    }

    @Test
    void aFaultAfterADeviceReadDropsTheAnswer() {
        // push [rbx] with a stack that is not there
        try (Machine m = machine("ff33 f4")) {
            m.gate64(Fault.PF, 0x9000, 1, 0);
            m.code(0x9000, "f4");
            m.put64(Machine.TSS + 0x24, 0x178000);
            m.put64(Machine.pte(0x190000), 0);
            m.gpr(4, 0x191000);
            mmio(m, false, DEVICE, 8, 0);
            m.cpu.completeRead(1);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x9001, m.cpu.state().rip);
            m.put64(Machine.pte(0x190000), 0x190007);
            CpuState s = m.cpu.state();
            s.rip = Machine.CODE;
            s.gpr[4] = 0x191000;
            m.cpu.stateChanged();
            mmio(m, false, DEVICE, 8, 0);
            m.cpu.completeRead(0x77);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x77, m.get64(0x190ff8));
        }
    }

    @Test
    void romWritesAreDeviceWrites() {
        try (Machine m = machine("c60301 8a03 f4")) {
            m.readOnly.add(0x190000L);
            m.gpr(3, 0x190002);
            m.put(0x190002, 0x42);
            mmio(m, true, 0x190002, 1, 1);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x42, m.gpr(0));
            assertEquals(0x42, m.get8(0x190002));
        }
    }

    @Test
    void portsOfUserMode() {
        try (Machine m = machine("6a2b 6800001600 6802020000 6a33 6800800000 48cf")) {
            m.cpu.state().tr.limit = 0x67 + 0x100;
            m.cpu.stateChanged();
            m.put64(Machine.TSS + 4, 0x170000);
            m.put(Machine.TSS + 0x66, 0x68, 0);
            for (int i = 0; i < 0x100; i++) {
                m.put(Machine.TSS + 0x68 + i, 0xff);
            }
            m.put(Machine.TSS + 0x68 + 2, 0xf0); // ports 16 to 19 are free
            m.gate64(Fault.GP, 0x9000, 0, 0);
            m.code(0x9000, "f4");
            m.code(0x8000, "e510 e411 e511");
            assertEquals(new CpuExit.Io(false, 16, 4, 0), m.cpu.run());
            m.cpu.completeRead(1);
            assertEquals(new CpuExit.Io(false, 17, 1, 0), m.cpu.run());
            m.cpu.completeRead(1);
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(0x8004, m.get64(m.gpr(4) + 8));
        }
    }

    @Test
    void hypercallsLeaveBehindTheInstruction() {
        try (Machine m = machine("0f01c1 89c1 0f01d9 f4")) {
            assertInstanceOf(CpuExit.Hypercall.class, m.cpu.run());
            m.gpr(0, 12);
            assertInstanceOf(CpuExit.Hypercall.class, m.cpu.run());
            assertEquals(12, m.gpr(1));
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
        }
    }

    @Test
    void aDeviceInALoopOfOrdinaryCode() {
        // l: mov eax,[rbx]; add edx,eax; dec ecx; jnz l; hlt
        try (Machine m = machine("8b03 01c2 ffc9 75f8 f4")) {
            m.gpr(1, 1000);
            for (int i = 0; i < 1000; i++) {
                mmio(m, false, DEVICE, 4, 0);
                m.cpu.completeRead(i);
            }
            assertInstanceOf(CpuExit.Halt.class, m.cpu.run());
            assertEquals(499500, m.gpr(2));
            assertEquals(4001, m.cpu.instructions());
        }
    }
}
