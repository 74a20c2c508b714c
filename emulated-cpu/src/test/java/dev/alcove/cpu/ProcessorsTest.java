// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

/** Two processors on two threads with the same memory. */
class ProcessorsTest {
    private static void both(String code, java.util.function.Consumer<Machine> check) throws Exception {
        try (Machine a = new Machine(4 << 20);
                Machine b = new Machine(a)) {
            a.long64();
            b.long64();
            a.code(Machine.CODE, code);
            CpuState s = b.cpu.state();
            s.gpr[4] = Machine.STACK - 0x8000;
            s.gpr[8] = 1; // which processor
            b.cpu.stateChanged();
            a.gpr(3, 0x190000);
            b.gpr(3, 0x190000);
            CompletableFuture<CpuExit> other = CompletableFuture.supplyAsync(b.cpu::run);
            CpuExit mine = a.cpu.run();
            assertInstanceOf(CpuExit.Halt.class, mine, mine.toString());
            CpuExit theirs = other.get();
            assertInstanceOf(CpuExit.Halt.class, theirs, theirs.toString());
            check.accept(a);
        }
    }

    @Test
    void lockedInstructionsLoseNothing() throws Exception {
        // ecx = 100000: lock inc qword [rbx]; lock add word [rbx+a],1; lock inc byte [rbx+d]; mov eax,1;
        // lock xadd [rbx+10],eax; lock add dword [rbx+1e],1 (across 8 bytes); dec ecx; jnz
        both(
                "b9a0860100 f048ff03 f06683430a01 f0fe430d b801000000 f00fc14310 f083431e01 ffc9 75df f4",
                m -> {
                    assertEquals(200000, m.get64(0x190000));
                    assertEquals(200000 & 0xffff, m.get32(0x19000a) & 0xffff);
                    assertEquals(200000 & 0xff, m.get8(0x19000d));
                    assertEquals(200000, m.get32(0x190010));
                    assertEquals(200000, m.get32(0x19001e));
                });
    }

    @Test
    void spinLockWithExchangeAndCompareExchange() throws Exception {
        // r9d = 50000; l: mov eax,1; xchg [rbx],eax; test; jnz l (pause); inc qword [rbx+8]; mov dword [rbx],0;
        // cmpxchg loop on [rbx+10]: mov rax,[rbx+10]; m: lea rdx,[rax+1]; lock cmpxchg [rbx+10],rdx; jnz m; dec r9d; jnz l
        both(
                "41b950c30000 b801000000 8703 85c0 7404 f390 ebf1 48ff4308 c70300000000"
                        + "488b4310 488d5001 f0480fb15310 75f4 41ffc9 75d2 f4",
                m -> {
                    assertEquals(100000, m.get64(0x190008));
                    assertEquals(100000, m.get64(0x190010));
                });
    }

    /** Message passing: data is written, then a flag; who sees the flag must see the data. */
    @Test
    void storesAndLoadsStayInOrder() throws Exception {
        // test r8d; jnz reader; ecx = 1..100000: mov [rbx],rcx; mov [rbx+40],rcx; ...; hlt
        // reader: mov rax,[rbx+40]; mov rdx,[rbx]; cmp rdx,rax; jb bad; cmp eax,100000; jne reader; hlt; bad: ud2
        both(
                "4585c0 7514 31c9 ffc1 48890b 48894b40 81f9a0860100 75ef f4"
                        + "90 488b4340 488b13 4839c2 7208 3da0860100 75ed f4 0f0b",
                m -> assertEquals(100000, m.get64(0x190000)));
    }

    @Test
    void attentionFromAnotherThread() throws Exception {
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.code(Machine.CODE, "ebfe");
            java.util.concurrent.CountDownLatch running = new java.util.concurrent.CountDownLatch(1);
            boolean[] first = {true};
            m.attend = c -> {
                boolean go = first[0];
                first[0] = false;
                running.countDown();
                return go;
            };
            CompletableFuture<CpuExit> exit = CompletableFuture.supplyAsync(m.cpu::run);
            running.await();
            m.cpu.attention();
            assertInstanceOf(CpuExit.Interrupted.class, exit.get());
        }
    }
}
