// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Random maps, copies, unmaps and cuts against a list of intervals, with a device where there is one. */
@Surface("areas")
final class IoasRandomContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long BASE = 1 << 20;
    private static final int SPACE = 96;
    private static final int STEPS = 1500;

    /** First page to number of pages. */
    private final TreeMap<Integer, Integer> areas = new TreeMap<>();

    @EveryKernel
    void withoutADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            run(it, ok(it.ioas()), false);
        }
    }

    @EveryKernel
    void cutsWithoutADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(kernel.sys().ioctl(it.fd, 0x3b66, 1));
            run(it, ioas, true);
        }
    }

    @EveryKernel
    void withADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(kernel.sys().ioctl(it.fd, 0x3b66, 1));
            ok(it.attach(device, ioas));
            run(it, ioas, true);
        }
    }

    private void run(IommufdClient it, long ioas, boolean cuts) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        long memory = it.memory(SPACE);
        for (int step = 0; step < STEPS; step++) {
            String where = "seed " + seed + " step " + step + " areas " + areas;
            int first = random.nextInt(SPACE);
            int count = 1 + random.nextInt(Math.min(12, SPACE - first));
            long iova = BASE + first * PAGE;
            switch (random.nextInt(cuts ? 5 : 4)) {
                case 0, 1 -> {
                    long answer = it.map(ioas, ALL, memory + first * PAGE, count * PAGE, iova);
                    assertEquals(overlaps(first, count) ? -Errno.EEXIST : iova, answer, where);
                    if (answer >= 0) {
                        areas.put(first, count);
                    }
                }
                case 2 -> {
                    int from = random.nextInt(SPACE - count + 1);
                    long answer = it.copy(ALL, ioas, BASE + from * PAGE, ioas, iova, count * PAGE);
                    long expected = !covered(from, count)
                            ? -Errno.ENOENT
                            : overlaps(first, count) ? -Errno.EEXIST : iova;
                    assertEquals(expected, answer, where);
                    if (answer >= 0) {
                        copyAreas(from, count, first);
                    }
                }
                case 3 -> assertEquals(unmap(first, count, false), it.unmap(ioas, iova, count * PAGE), where);
                default -> assertEquals(unmap(first, count, true), it.type1Unmap(0, iova, count * PAGE), where);
            }
        }
        long left = areas.values().stream().mapToLong(pages -> pages * PAGE).sum();
        assertEquals(left, it.unmap(ioas, 0, -1), "seed " + seed);
    }

    private boolean overlaps(int first, int count) {
        Map.Entry<Integer, Integer> before = areas.lowerEntry(first + count);
        return before != null && before.getKey() + before.getValue() > first;
    }

    private boolean covered(int first, int count) {
        for (int page = first; page < first + count; page++) {
            Map.Entry<Integer, Integer> entry = areas.floorEntry(page);
            if (entry == null || entry.getKey() + entry.getValue() <= page) {
                return false;
            }
        }
        return true;
    }

    /** A copy makes one area for each that it reads from. */
    private void copyAreas(int from, int count, int to) {
        for (int page = from; page < from + count; ) {
            Map.Entry<Integer, Integer> entry = areas.floorEntry(page);
            int end = Math.min(from + count, entry.getKey() + entry.getValue());
            areas.put(to + page - from, end - page);
            page = end;
        }
    }

    private long unmap(int first, int count, boolean cut) {
        if (cut) {
            split(first + count);
            split(first);
        }
        long unmapped = 0;
        for (int at = first; ; ) {
            Map.Entry<Integer, Integer> hit = areas.lowerEntry(first + count);
            if (hit == null || hit.getKey() + hit.getValue() <= at) {
                return unmapped == 0 && !cut ? -Errno.ENOENT : unmapped * PAGE;
            }
            Map.Entry<Integer, Integer> low = areas.floorEntry(at);
            Map.Entry<Integer, Integer> next =
                    low != null && low.getKey() + low.getValue() > at ? low : areas.higherEntry(at);
            if (next.getKey() < first || next.getKey() + next.getValue() > first + count) {
                return -Errno.ENOENT;
            }
            areas.remove(next.getKey());
            unmapped += next.getValue();
            at = next.getKey() + next.getValue();
        }
    }

    private void split(int boundary) {
        Map.Entry<Integer, Integer> entry = areas.lowerEntry(boundary);
        if (entry != null && entry.getKey() + entry.getValue() > boundary) {
            areas.put(entry.getKey(), boundary - entry.getKey());
            areas.put(boundary, entry.getKey() + entry.getValue() - boundary);
        }
    }
}
