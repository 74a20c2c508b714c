// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.HostSyscalls;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class PhysicalMemoryTest {
    private final PhysicalMemory memory = new PhysicalMemory(new HostSyscalls(), 1L << 28);

    @AfterEach
    void close() {
        memory.close();
    }

    private long read(long pfn) {
        return memory.segment(pfn, 1).get(ValueLayout.JAVA_LONG, 0);
    }

    private void write(long pfn, long value) {
        memory.segment(pfn, 1).set(ValueLayout.JAVA_LONG, 0, value);
    }

    @Test
    void aFrameLivesAsLongAsSomebodyHoldsIt() {
        long pfn = memory.allocate(1);
        assertNotEquals(0, pfn);
        write(pfn, 42);
        assertEquals(1, memory.references(pfn));
        memory.get(pfn);
        memory.pin(pfn);
        memory.put(pfn);
        memory.put(pfn);
        assertEquals(0, memory.references(pfn));
        assertEquals(1, memory.pins(pfn));
        assertEquals(1, memory.totalPins());
        assertEquals(42, read(pfn));
        assertEquals(1, memory.framesInUse());
        memory.unpin(pfn);
        assertEquals(0, memory.framesInUse());
        assertEquals(0, memory.totalPins());
        assertEquals(pfn, memory.allocate(1), "the next owner gets the frame");
        assertEquals(0, read(pfn), "and finds nothing in it");
        assertEquals(1, memory.references(pfn));
        memory.put(pfn);
    }

    @Test
    void extentsAreContiguousAndLargeOnesAligned() {
        long one = memory.allocate(1);
        long large = memory.allocate(1 << 20);
        assertEquals(0, large % 512);
        long last = large + (1 << 20) - 1;
        write(last, 1);
        memory.pin(large + 5);
        memory.put(large, 1 << 20);
        assertEquals(2, memory.framesInUse(), "the pinned frame and the single one");
        memory.unpin(large + 5);
        assertEquals(1, memory.framesInUse());
        assertEquals(large, memory.allocate(1 << 20), "the free pieces have joined again");
        assertEquals(0, read(last));
        memory.put(large, 1 << 20);
        memory.put(one);
        assertEquals(0, memory.framesInUse());
    }

    @Test
    void memoryEnds() {
        assertEquals(-1, memory.allocate(1L << 28));
        assertEquals(-1, memory.allocate(0));
        assertEquals(0, memory.framesInUse());
    }

    @Test
    void theAllocatorHasItsSay() {
        AtomicInteger left = new AtomicInteger(1);
        try (PhysicalMemory small = new PhysicalMemory(new HostSyscalls(), 100, what -> left.getAndDecrement() > 0)) {
            assertTrue(small.allocate(1) > 0);
            assertEquals(-1, small.allocate(1));
        }
    }

    @Test
    void randomCountsAgreeWithAModel() {
        long seed = 0x5eed_0002;
        Random random = new Random(seed);
        int frames = 64;
        int[] references = new int[frames];
        int[] pins = new int[frames];
        long first = memory.allocate(frames);
        for (int i = 0; i < frames; i++) {
            references[i] = 1;
        }
        for (int step = 0; step < 20_000; step++) {
            int i = random.nextInt(frames);
            if (references[i] + pins[i] == 0) {
                continue;
            }
            long pfn = first + i;
            switch (random.nextInt(4)) {
                case 0 -> {
                    memory.get(pfn);
                    references[i]++;
                }
                case 1 -> {
                    memory.pin(pfn);
                    pins[i]++;
                }
                case 2 -> {
                    if (references[i] > 0) {
                        memory.put(pfn);
                        references[i]--;
                    }
                }
                default -> {
                    if (pins[i] > 0) {
                        memory.unpin(pfn);
                        pins[i]--;
                    }
                }
            }
            assertEquals(references[i], memory.references(pfn), () -> "seed " + seed);
            if (references[i] + pins[i] > 0) {
                assertEquals(pins[i], memory.pins(pfn), () -> "seed " + seed);
            }
        }
        List<Integer> alive = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < frames; i++) {
            sum += pins[i];
            if (references[i] + pins[i] > 0) {
                alive.add(i);
            }
        }
        assertEquals(alive.size(), memory.framesInUse());
        assertEquals(sum, memory.totalPins());
    }
}
