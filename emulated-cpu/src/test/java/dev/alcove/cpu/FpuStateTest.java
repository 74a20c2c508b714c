// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** The image of the registers that owners of a processor save and load. */
class FpuStateTest {
    @Test
    void initialImage() {
        FpuState s = new FpuState();
        assertEquals(0, s.inUse());
        assertEquals(FpuState.X87, s.xcr0);
        MemorySegment image = MemorySegment.ofArray(new byte[FpuState.IMAGE_SIZE]);
        s.save(image);
        assertEquals(0x37f, image.get(ValueLayout.JAVA_SHORT_UNALIGNED, 0));
        assertEquals(0x1f80, image.get(ValueLayout.JAVA_INT_UNALIGNED, 24));
        assertEquals(0xffff, image.get(ValueLayout.JAVA_INT_UNALIGNED, 28));
    }

    @Test
    void roundTrip() {
        long seed = 20261121;
        Random random = new Random(seed);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment image = arena.allocate(FpuState.IMAGE_SIZE);
            FpuState a = new FpuState();
            for (int i = 0; i < 8; i++) {
                a.significand[i] = random.nextLong();
                a.exponent[i] = random.nextInt(0x10000);
            }
            for (int i = 0; i < 32; i++) {
                a.xmm[i] = random.nextLong();
            }
            a.status = 0x1800; // R3 is the top
            a.tags = 0x18;
            a.mxcsr = 0x7f80;
            a.save(image);
            assertEquals(a.significand[3], image.get(ValueLayout.JAVA_LONG, 32), "seed " + seed);
            FpuState b = new FpuState();
            b.load(image);
            assertArrayEquals(a.significand, b.significand, "seed " + seed);
            assertArrayEquals(a.exponent, b.exponent, "seed " + seed);
            assertArrayEquals(a.xmm, b.xmm, "seed " + seed);
            assertEquals(a.status, b.status);
            assertEquals(a.mxcsr, b.mxcsr);
            assertEquals(FpuState.X87 | FpuState.SSE, b.inUse());
        }
    }
}
