// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.sys.BadInputException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class RamLayoutTest {
    private static final long GIB = 1L << 30;

    @Test
    void ramContinuesBehindTheHole() {
        assertEquals(List.of(GpaRange.of(0, 4096)), RamLayout.of(4096, GIB).blocks());
        assertEquals(List.of(GpaRange.of(0, 3 * GIB)), RamLayout.of(3 * GIB, 8 * GIB).blocks());
        RamLayout big = RamLayout.of(5 * GIB, 8 * GIB);
        assertEquals(List.of(GpaRange.of(0, 3 * GIB), GpaRange.of(4 * GIB, 2 * GIB)), big.blocks());
        assertEquals(5 * GIB, big.bytes());
    }

    @ParameterizedTest
    @CsvSource({
        "0, at least 4096",
        "-4096, at least 4096",
        "4097, not a whole number",
        "8589938688, more than this machine has",
        "9223372036854771712, more than this machine has",
    })
    void badSizes(long size, String message) {
        BadInputException refused = assertThrows(BadInputException.class, () -> RamLayout.of(size, 8 * GIB));
        assertTrue(String.valueOf(refused.getMessage()).contains(message), refused.getMessage());
    }

    @Test
    void badBlocks() {
        assertThrows(BadInputException.class, () -> new RamLayout(List.of()));
        assertThrows(BadInputException.class, () -> new RamLayout(List.of(GpaRange.of(0, 100))));
        assertThrows(
                BadInputException.class,
                () -> new RamLayout(List.of(GpaRange.of(0x1000, 0x2000), GpaRange.of(0, 0x2000))));
    }
}
