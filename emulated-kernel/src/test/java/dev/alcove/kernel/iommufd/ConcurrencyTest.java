// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

import static dev.alcove.kernel.iommufd.IommufdFixture.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Maps, cuts and DMA at the same time. */
final class ConcurrencyTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    @Test
    void dmaNeverReachesAPageThatWasCutOutAndItsNeighboursNeverFault() throws InterruptedException {
        int pages = 64;
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (IommufdFixture it = new IommufdFixture()) {
            long ioas = it.ioas();
            it.type1(ioas);
            IommuDevice device = it.newDevice();
            IommuDevice reader = device.group().addDevice(0x77);
            long id = it.context.bindDevice(device);
            long readerId = it.context.bindDevice(reader);
            assertTrue(it.attach(id, ioas) > 0);
            assertTrue(it.attach(readerId, ioas) > 0);
            long memory = it.memory(pages);
            MemorySegment view = UserMappings.segment(memory, pages * PAGE);
            assertEquals(MIB, it.map(ioas, ALL, memory, pages * PAGE, MIB));
            AtomicBoolean stop = new AtomicBoolean();
            AtomicLong holes = new AtomicLong();
            Thread writer = Thread.ofPlatform().start(() -> {
                MemorySegment all = MemorySegment.ofArray(new byte[(int) ((pages - 1) * PAGE)]);
                all.fill((byte) 0x77);
                while (!stop.get()) {
                    device.dma().write(MIB, all);
                }
            });
            Thread sampler = Thread.ofPlatform().start(() -> {
                MemorySegment word = MemorySegment.ofArray(new byte[8]);
                while (!stop.get()) {
                    if (!reader.dma().read(MIB + (pages - 1) * PAGE, word)) {
                        holes.incrementAndGet();
                    }
                }
            });
            int reached = 0;
            try {
                for (int round = 0; round < 300; round++) {
                    int page = random.nextInt(pages - 1);
                    long iova = MIB + page * PAGE;
                    String where = "seed " + seed + " round " + round + " page " + page;
                    assertEquals(PAGE, it.cut(iova, PAGE), where);
                    reached += view.get(ValueLayout.JAVA_BYTE, page * PAGE) != 0 ? 1 : 0;
                    view.asSlice(page * PAGE, PAGE).fill((byte) 0);
                    for (int check = 0; check < 20; check++) {
                        Thread.onSpinWait();
                        assertEquals(-1, view.asSlice(page * PAGE, PAGE).mismatch(zeroes()), where);
                    }
                    assertEquals(iova, it.map(ioas, ALL, memory + page * PAGE, PAGE, iova), where);
                }
            } finally {
                stop.set(true);
                writer.join();
                sampler.join();
            }
            assertEquals(0, holes.get(), "the last page was never cut, and must never be missing");
            assertTrue(reached > 0, "the device never wrote, so the test shows nothing");
            assertEquals(pages, it.pins());
            it.unbind(id);
            it.unbind(readerId);
        }
    }

    private static MemorySegment zeroes() {
        return MemorySegment.ofArray(new byte[(int) PAGE]);
    }

    @Test
    void parallelMapsUnmapsAndAttachesStayConsistent() throws InterruptedException {
        long seed = System.nanoTime();
        try (IommufdFixture it = new IommufdFixture()) {
            long ioas = it.ioas();
            long memory = it.memory(64);
            IommuDevice device = it.newDevice();
            long id = it.context.bindDevice(device);
            ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
            List<Thread> threads = new ArrayList<>();
            for (int worker = 0; worker < 3; worker++) {
                // Maps reach over the ends of regions, and each region has areas of two threads.
                long base = (16L * MIB) * (worker + 1) - 8 * PAGE;
                Random random = new Random(seed + worker);
                threads.add(Thread.ofPlatform()
                        .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
                        .start(() -> {
                            for (int step = 0; step < 300; step++) {
                                long count = 1L + random.nextInt(16);
                                assertEquals(base, it.map(ioas, ALL, memory, count * PAGE, base));
                                if (random.nextBoolean()) {
                                    long answer = it.copy(ioas, base, ioas, base + 32 * PAGE, count * PAGE);
                                    assertEquals(0, answer, Errno.name(answer));
                                    assertEquals(count * PAGE, it.unmap(ioas, base + 32 * PAGE, count * PAGE));
                                }
                                assertEquals(count * PAGE, it.unmap(ioas, base, count * PAGE));
                            }
                        }));
            }
            for (int step = 0; step < 100; step++) {
                assertTrue(it.attach(id, ioas) > 0);
                device.dma().read(MIB, zeroes());
                it.detach(id);
            }
            assertTrue(it.attach(id, ioas) > 0);
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(List.of(), List.copyOf(failures), "seed " + seed);
            IommuDomain domain = it.context.domains((int) ioas).getFirst();
            assertEquals(0, domain.mappedPages(), "seed " + seed);
            assertEquals(0, it.pins(), "seed " + seed);
            it.unbind(id);
        }
    }
}
