// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.TestCommandClient.MockDevice;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;

import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * What a device sees of the pages beside one that is unmapped: while one thread cuts pages out of an area and maps them
 * again, another looks into the page table that a device walks.
 */
@Surface("compat")
final class NeighbourContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long IOVA = 1 << 25;
    private static final int SET_IOMMU = 0x3b66;
    private static final int TYPE1 = 1;
    private static final int PAGES = 64;
    private static final int ROUNDS = 40;

    /** Every look finds the neighbour where it was: an area is cut without a moment in which it is not mapped. */
    @EveryKernel
    void staysMappedWhileOthersAreCutOut(KernelUnderTest kernel) throws Exception {
        try (IommufdClient it = new IommufdClient(kernel);
                Arena shared = Arena.ofShared()) {
            TestCommandClient test = new TestCommandClient(kernel, it);
            test.needsMockDevices();
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            MockDevice device = test.mock(ioas);
            long memory = it.memory(PAGES);
            ok(it.map(ioas, ALL, memory, PAGES * PAGE, IOVA));
            // The neighbour: every fourth page stays.
            MemorySegment[] looks = new MemorySegment[PAGES / 4];
            for (int i = 0; i < looks.length; i++) {
                looks[i] = look(shared, test, device, IOVA + 4L * i * PAGE, memory + 4L * i * PAGE);
            }
            AtomicBoolean ended = new AtomicBoolean();
            CompletableFuture<Long> seen = CompletableFuture.supplyAsync(() -> {
                long good = 0;
                do {
                    for (MemorySegment command : looks) {
                        ok(test.call(command));
                        good++;
                    }
                } while (!ended.get());
                return good;
            });
            try {
                for (int round = 0; round < ROUNDS && !seen.isDone(); round++) {
                    for (int page = 1; page < PAGES; page += page % 4 == 3 ? 2 : 1) {
                        assertEquals(PAGE, it.type1Unmap(0, IOVA + page * PAGE, PAGE));
                    }
                    for (int page = 1; page < PAGES; page += 4) {
                        ok(it.map(ioas, ALL, memory + page * PAGE, 3 * PAGE, IOVA + page * PAGE));
                    }
                }
            } finally {
                ended.set(true);
            }
            assertTrue(seen.get() >= looks.length, "looks: " + seen.get());
            assertEquals(PAGES * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    /** A command that two threads may use: the kernel only reads it. */
    private static MemorySegment look(
            Arena arena, TestCommandClient test, MockDevice device, long iova, long address) {
        MemorySegment own = test.command(3, device.hwpt());
        MemorySegment command = arena.allocate(own.byteSize(), 8).copyFrom(own);
        command.set(ValueLayout.JAVA_LONG, 16, iova);
        command.set(ValueLayout.JAVA_LONG, 24, PAGE);
        command.set(ValueLayout.JAVA_LONG, 32, address);
        return command;
    }
}
