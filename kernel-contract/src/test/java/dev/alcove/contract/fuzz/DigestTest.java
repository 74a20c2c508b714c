// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class DigestTest {
    private static final int OPS = 250;

    @TempDir
    private Path folder = Path.of("");

    /** A digest in which the answer to one op is another. */
    private static Digest digest(long seed, int changed) {
        Digest.Builder digest = new Digest.Builder(new Header("vfio", seed, OPS, "linux", "7.2"));
        for (int i = 0; i < OPS; i++) {
            digest.add(Op.of("signal", i), Answer.with(0).and("event0", i == changed ? -1 : 0).build());
        }
        return digest.build();
    }

    @Test
    void aDifferenceIsFoundInItsBlock() {
        Digest whole = digest(1, -1);
        assertEquals(3, whole.hashes().size());
        assertEquals(-1, whole.difference(digest(1, -1)));
        assertEquals(0, whole.difference(digest(1, 99)));
        assertEquals(100, whole.difference(digest(1, 100)));
        assertEquals(200, whole.difference(digest(1, OPS - 1)));
    }

    @Test
    void theNameOfAValueAndTheOrderCount() {
        Digest.Builder one = new Digest.Builder(new Header("vfio", 1, 1, "linux", "7.2"));
        one.add(Op.of("signal", 1), Answer.with(0).and("a", 1).and("b", 2).build());
        Digest.Builder other = new Digest.Builder(new Header("vfio", 1, 1, "linux", "7.2"));
        other.add(Op.of("signal", 1), Answer.with(0).and("b", 1).and("a", 2).build());
        assertEquals(0, one.build().difference(other.build()));
    }

    @Test
    void whatIsWrittenIsReadAndWhatIsCutIsRefused() throws IOException {
        Path file = folder.resolve("a.digests");
        try (DigestFile out = new DigestFile(Files.newOutputStream(file))) {
            out.write(digest(1, -1));
            out.write(digest(2, 5));
        }
        assertTrue(DigestFile.is(file));
        assertEquals(List.of(digest(1, -1), digest(2, 5)), DigestFile.read(file));
        String text = Files.readString(file);
        for (int length = text.length() - 2; length > text.indexOf('\n') + 1; length--) {
            Files.writeString(file, text.substring(0, length));
            assertThrows(BadInputException.class, () -> DigestFile.read(file));
        }
        Files.writeString(file, text.replace("\"version\":1", "\"version\":2"));
        assertThrows(BadInputException.class, () -> DigestFile.read(file));
        Files.writeString(file, "{}");
        assertFalse(DigestFile.is(file));
    }
}
