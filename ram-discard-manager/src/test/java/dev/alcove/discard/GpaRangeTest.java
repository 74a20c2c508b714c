// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class GpaRangeTest {
    @ParameterizedTest
    @CsvSource({
        "0, 4096, true",
        "4096, 8192, true",
        "0, 0, false",
        "1, 4096, false",
        "0, 4097, false",
        "-4096, 4096, false",
        "-4096, 8192, false",
        "0, -4096, false",
        "4503599627366400, 4096, true",
        "4503599627366400, 8192, false",
        "4503599627370496, 4096, false",
        "0, 4503599627370496, true",
        "4096, 9223372036854771712, false",
    })
    void numbersFromAGuest(long start, long size, boolean good) {
        Optional<GpaRange> range = GpaRange.aligned(start, size, 4096);
        assertEquals(good, range.isPresent());
        range.ifPresent(found -> {
            assertEquals(start, found.start().value());
            assertEquals(start + size, found.end());
        });
    }

    @Test
    void geometry() {
        GpaRange range = GpaRange.of(0x1000, 0x2000);
        assertEquals("[0x1000, 0x3000)", range.toString());
        assertTrue(range.contains(new Gpa(0x2fff)));
        assertFalse(range.contains(new Gpa(0x3000)));
        assertTrue(range.contains(GpaRange.of(0x2000, 0x1000)));
        assertFalse(range.contains(GpaRange.of(0x2000, 0x1001)));
        assertFalse(range.overlaps(GpaRange.of(0x3000, 1)));
        assertTrue(range.overlaps(GpaRange.of(0x2fff, 1)));
        assertEquals(Optional.of(GpaRange.of(0x2000, 0x1000)), range.intersection(GpaRange.of(0x2000, 0x9000)));
        assertEquals(Optional.empty(), range.intersection(GpaRange.of(0, 0x1000)));
        assertThrows(IllegalArgumentException.class, () -> GpaRange.of(0, 0));
        assertThrows(IllegalArgumentException.class, () -> GpaRange.of(Gpa.MAX, 2));
        assertThrows(IllegalArgumentException.class, () -> new Gpa(-1));
        assertThrows(IllegalArgumentException.class, () -> new Gpa(Gpa.MAX).plus(1));
    }
}
