// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The page table: entry sizes, holes, failures. */
final class IommuDomainTest {
    private static final long MIB = 1 << 20;
    private static final long GIB = 1 << 30;
    private static final int READ_WRITE = IommuDomain.READ | IommuDomain.WRITE;

    private final PhysicalMemory memory = new PhysicalMemory(new HostSyscalls(), 1 << 10);
    private int charges;
    private int failAt = -1;
    private final Iommu iommu = new Iommu(memory, what -> ++charges != failAt);
    private final IommuDomain domain = iommu.newDomain();

    @AfterEach
    void stop() {
        memory.close();
    }

    @Test
    void theLargestEntriesThatFitAreTaken() {
        long length = GIB + 4 * MIB;
        assertEquals(0, domain.map(2 * GIB - 2 * MIB, 3 * GIB - 2 * MIB, length, READ_WRITE, true));
        assertEquals(2 * MIB, domain.entrySize(2 * GIB - 2 * MIB));
        assertEquals(GIB, domain.entrySize(2 * GIB));
        assertEquals(GIB, domain.entrySize(3 * GIB - 4096));
        assertEquals(2 * MIB, domain.entrySize(3 * GIB));
        assertEquals((3 * GIB + 0x123000) >> 12, domain.frame(2 * GIB + 0x123456));
        assertEquals(length >> 12, domain.mappedPages());
        assertEquals(List.of(new IovaExtent(2 * GIB - 2 * MIB, length, READ_WRITE)), domain.extents());

        assertEquals(0, domain.unmap(2 * GIB + 4096, 4096, null), "a large entry cannot be cut");
        assertEquals(2 * MIB, domain.unmap(2 * GIB - 2 * MIB, 513 << 12, null));
        List<String> runs = new ArrayList<>();
        assertEquals(
                length - 2 * MIB,
                domain.unmap(
                        2 * GIB - 2 * MIB,
                        length,
                        (iova, address, bytes) -> runs.add(
                                Long.toHexString(iova) + " " + Long.toHexString(address) + " " + bytes)));
        assertEquals(List.of("80000000 c0000000 1073741824", "c0000000 100000000 2097152"), runs);
        assertEquals(0, domain.mappedPages());
    }

    @Test
    void smallEntriesWhenLargeOnesAreNotAllowedOrNotAligned() {
        assertEquals(0, domain.map(0, 0, 4 * MIB, READ_WRITE, false));
        assertEquals(4096, domain.entrySize(0));
        assertEquals(0, domain.map(4 * MIB, 4096, 2 * MIB, READ_WRITE, true));
        assertEquals(4096, domain.entrySize(4 * MIB));
        assertEquals(4096, domain.unmap(4096, 4096, null));
        assertEquals(-1, domain.frame(4096));
        assertEquals(2, domain.frame(8192));
    }

    @Test
    void mapIsAllOrNothing() {
        assertEquals(0, domain.map(8 * MIB, 7 << 12, 4096, READ_WRITE, true));
        assertEquals(-Errno.EADDRINUSE, domain.map(6 * MIB, 0, 4 * MIB, READ_WRITE, true));
        assertEquals(1, domain.mappedPages());
        assertEquals(-Errno.EINVAL, domain.map(0, 0, 4096, 0, true));
        assertEquals(-Errno.EINVAL, domain.map((1L << 48) - 4096, 0, 8192, READ_WRITE, true));
        for (int n = 1; ; n++) {
            failAt = charges + n;
            int answer = domain.map(GIB - 4096, 100 << 12, 3 << 12, READ_WRITE, true);
            if (answer == 0) {
                assertTrue(n > 2, "tables of two halves are charged");
                break;
            }
            assertEquals(-Errno.ENOMEM, answer);
            assertEquals(1, domain.mappedPages());
        }
        assertEquals(3 << 12, domain.unmap(GIB - 4096, 3 << 12, null));
        failAt = charges + 1;
        assertEquals(0, domain.map(GIB, 0, 4096, READ_WRITE, true), "its tables are still there");
        assertEquals(2 * 4096, domain.unmap(0, 4 * GIB, null));
        assertEquals(-Errno.ENOMEM, domain.map(GIB, 0, 4096, READ_WRITE, true), "tables that were covered are gone");
        failAt = -1;
        assertEquals(0, domain.map(GIB, 0, 4096, READ_WRITE, true));
        assertEquals(4096, domain.unmap(GIB, 4096, null));
        assertEquals(0, domain.map(GIB, 0, 2 * MIB, READ_WRITE, true));
        assertEquals(2 * MIB, domain.entrySize(GIB), "a large page takes the place of an empty table");
    }

    @Test
    void randomMapsAndUnmapsAgreeWithAMap() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        TreeMap<Long, Long> model = new TreeMap<>();
        for (int step = 0; step < 3000; step++) {
            String where = "seed " + seed + " step " + step;
            long page = random.nextInt(3 * 512);
            long pages = 1L + random.nextInt(random.nextBoolean() ? 8 : 600);
            if (random.nextInt(3) > 0) {
                long pfn = random.nextBoolean() ? page + 1024 : random.nextInt(1 << 20);
                int answer = domain.map(page << 12, pfn << 12, pages << 12, READ_WRITE, false);
                boolean free = model.subMap(page, page + pages).isEmpty();
                assertEquals(free ? 0 : -Errno.EADDRINUSE, answer, where);
                for (long i = 0; free && i < pages; i++) {
                    model.put(page + i, pfn + i);
                }
            } else {
                long expected = (long) model.subMap(page, page + pages).size() << 12;
                assertEquals(expected, domain.unmap(page << 12, pages << 12, null), where);
                model.subMap(page, page + pages).clear();
            }
            assertEquals(model.size(), domain.mappedPages(), where);
            long probe = random.nextInt(3 * 512);
            assertEquals(model.getOrDefault(probe, -1L), domain.frame(probe << 12), where);
        }
        long total = domain.extents().stream().mapToLong(IovaExtent::pages).sum();
        assertEquals(model.size(), total, "seed " + seed);
    }

    /** Large pages wherever both sides are aligned, small ones around them and where they are not. */
    @Test
    void randomRangesTakeTheLargestPagesThatFit() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int step = 0; step < 200; step++) {
            String where = "seed " + seed + " step " + step;
            long iova = (random.nextInt(6) * 512L + (random.nextBoolean() ? 0 : random.nextInt(512))) << 12;
            long shift = random.nextBoolean() ? 3 * GIB : 3 * GIB + ((1L + random.nextInt(511)) << 12);
            long length = (1L + random.nextInt(3000)) << 12;
            assertEquals(0, domain.map(iova, iova + shift, length, READ_WRITE, true), where);
            for (long at = iova; at < iova + length; ) {
                boolean large = ((at | (at + shift)) & (2 * MIB - 1)) == 0 && iova + length - at >= 2 * MIB;
                long size = large ? 2 * MIB : 4096;
                assertEquals(size, domain.entrySize(at), where);
                assertEquals((at + shift) >> 12, domain.frame(at), where);
                assertEquals((at + size - 4096 + shift) >> 12, domain.frame(at + size - 4096), where);
                at += size;
            }
            assertEquals(length >> 12, domain.mappedPages(), where);
            assertEquals(length, domain.unmap(iova, length, null), where);
            assertEquals(0, domain.mappedPages(), where);
        }
    }

    /** Two threads in regions of their own, and one that takes a table of theirs away now and then. */
    @Test
    void regionsAtTheSameTimeAgreeWithAMapEach() throws InterruptedException {
        long seed = System.nanoTime();
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        List<Thread> threads = new ArrayList<>();
        for (int worker = 0; worker < 3; worker++) {
            Random random = new Random(seed + worker);
            // All below the same table; the last region is the third thread's.
            long base = worker * 16L * MIB;
            boolean large = worker == 2;
            threads.add(Thread.ofPlatform()
                    .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
                    .start(() -> {
                        for (int step = 0; step < 20_000; step++) {
                            long length = large && random.nextBoolean() ? 2 * MIB : 4096L * (1 + random.nextInt(3));
                            long iova = base + random.nextInt((int) (14 * MIB / length)) * length;
                            assertEquals(0, domain.map(iova, iova + GIB, length, READ_WRITE, true));
                            assertEquals((iova + GIB) >> 12, domain.frame(iova));
                            if (large && random.nextInt(50) == 0) {
                                // More than a region: the whole table is looked at.
                                assertEquals(length, domain.unmap(base, GIB - base, null));
                            } else {
                                assertEquals(length, domain.unmap(iova, length, null));
                            }
                            assertEquals(-1, domain.frame(iova));
                        }
                    }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(List.of(), List.copyOf(failures), "seed " + seed);
        assertEquals(0, domain.mappedPages(), "seed " + seed);
        assertEquals(0, domain.map(0, 0, GIB, READ_WRITE, true), "empty tables give way");
    }
}
