// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.RangeSet;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** The books of a block, against a set of ranges. */
class MappedPagesTest {
    private static final long PAGE = 4096;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void behavesAsASetOfRanges(long seed) {
        Random random = new Random(seed);
        int pages = 64 * 5 + 13;
        MappedPages books = new MappedPages(pages * PAGE);
        RangeSet oracle = new RangeSet();
        for (int step = 0; step < 5000; step++) {
            long from = random.nextInt(pages) * PAGE;
            long length = (1 + random.nextInt((int) (pages - from / PAGE))) * PAGE;
            if (random.nextInt(3) > 0) {
                length = Math.min(length, (1 + random.nextInt(4)) * PAGE);
            }
            boolean mapped = random.nextBoolean();
            long before = oracle.bytes();
            if (mapped) {
                oracle.add(from, length);
            } else {
                oracle.remove(from, length);
            }
            String where = "seed " + seed + " step " + step;
            assertEquals(Math.abs(oracle.bytes() - before), books.set(from, length, mapped), where);
            RangeSet runs = new RangeSet();
            books.forEach(0, pages * PAGE, runs::add);
            assertEquals(oracle, runs, where);
            assertEquals(mapped ? length : 0, books.count(from, length), where);
            assertEquals(oracle.bytes(), books.count(0, pages * PAGE), where);
            assertEquals(mapped ? from : from + length, books.next(from, from + length, true), where);
        }
    }

    @Test
    void neighboursInOneWordDoNotLoseEachOthersChanges() {
        MappedPages books = new MappedPages(64 * PAGE);
        IntStream.range(0, 64).parallel().forEach(page -> {
            for (int i = 0; i < 1001; i++) {
                assertEquals(PAGE, books.set(page * PAGE, PAGE, i % 2 == 0));
            }
        });
        assertEquals(64 * PAGE, books.count(0, 64 * PAGE));
    }
}
