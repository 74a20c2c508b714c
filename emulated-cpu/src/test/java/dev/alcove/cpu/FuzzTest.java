// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.fail;

/** Random code in all modes: nothing may come out of the run but an exit. */
class FuzzTest {
    private static final int ROUNDS = 1500;

    @Test
    void randomBytes() {
        long seed = 42;
        try (Machine m = new Machine(4 << 20)) {
            for (int i = 0; i < ROUNDS; i++) {
                round(m, seed + i);
            }
        }
    }

    private static void round(Machine m, long seed) {
        Random random = new Random(seed);
        byte[] junk = new byte[0x3000];
        random.nextBytes(junk);
        m.put(0x8000, junk);
        int[] steps = {0};
        m.attend = c -> {
            c.attention();
            return ++steps[0] < 300;
        };
        switch ((int) (seed % 3)) {
            case 0 -> m.long64();
            case 1 -> m.protected32();
            default -> {
                CpuState s = m.cpu.state();
                s.reset();
                s.segment[CpuState.CS].set(0, 0, 0xffff, 0x9b00);
            }
        }
        CpuState s = m.cpu.state();
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = random.nextInt(4) == 0 ? random.nextLong() : random.nextInt(0x200000);
        }
        s.rip = 0x8000L + random.nextInt(0x2f00);
        s.rflags = (random.nextInt() & 0xcd5) | 2;
        m.cpu.stateChanged();
        m.answers = random.nextBoolean();
        m.log.clear();
        try {
            for (int i = 0; i < 20; i++) {
                CpuExit exit = m.cpu.run();
                if (exit instanceof CpuExit.InternalError e) {
                    assertFalse(e.message().startsWith("unforeseen"), "seed " + seed + ": " + e.message());
                    break;
                }
                if (exit instanceof CpuExit.Shutdown || exit instanceof CpuExit.Interrupted) {
                    break;
                }
                m.cpu.completeRead(random.nextLong());
            }
        } catch (RuntimeException e) {
            fail("seed " + seed, e);
        }
    }
}
