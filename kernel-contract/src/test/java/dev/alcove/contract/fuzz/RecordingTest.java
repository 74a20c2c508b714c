// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class RecordingTest {
    private static final List<Op> OPS =
            List.of(Op.of("close", -1), Op.of("write", 0, Long.MIN_VALUE), Op.of("stat", 40), Op.of("poll", 41));

    private static String recording(Header header, Answer last) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (RecordingWriter writer = new RecordingWriter(out, header)) {
            for (Op op : OPS) {
                writer.write(op, op.equals(OPS.getLast()) ? last : Answer.of(-9));
            }
            writer.end();
        }
        return out.toString(StandardCharsets.UTF_8);
    }

    private static Header header(long seed) {
        return new Header("guest-memfd", seed, OPS.size(), "emulated", "7.2.0");
    }

    private static Recording read(String text) throws IOException {
        return RecordingReader.read("test", new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static String refusal(String text) {
        return String.valueOf(assertThrows(BadInputException.class, () -> read(text)).getMessage());
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        Answer last = Answer.with(0).and("events", 5).and("word", -1).build();
        Recording recording = read(recording(header(1), last));
        assertEquals(header(1), recording.header());
        assertEquals(OPS, recording.ops());
        assertEquals(last, recording.answers().getLast());
    }

    @Test
    void aCutFileIsRecognisedWhereverItIsCut() throws IOException {
        String whole = recording(header(1), Answer.of(0));
        for (int length = 0; length < whole.length() - 2; length++) {
            String message = refusal(whole.substring(0, length));
            assertTrue(message.contains("cut") || message.contains("no recording"), message);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "'\"version\":1', '\"version\":2', has version 2",
        "'\"alcove-fuzz\"', '\"trace\"', no recording",
        "'\"index\":2', '\"index\":3', op 2 is missing",
        "'\"ops\":4', '\"ops\":5', announces 5 ops",
        "'\"end\":4', '\"end\":3', the last line 3",
        "'\"answer\":-9', '\"answer\":\"no\"', not what a recording has",
        "'\"operands\"', '\"operators\"', 'operands' is missing",
        "'\"seed\":1', '\"seed\":1e5', not what a recording has"
    })
    void otherFilesAreRefused(String part, String other, String message) throws IOException {
        String whole = recording(header(1), Answer.of(0));
        assertTrue(whole.contains(part), whole);
        String refusal = refusal(whole.replaceFirst(part, other));
        assertTrue(refusal.contains(message), refusal);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{}", "[]", "#!/bin/sh", "{\"format\":7}", "null"})
    void whatIsNoRecordingIsRefused(String text) {
        assertTrue(refusal(text).contains("no recording"), refusal(text));
    }

    @Test
    void aFileThatIsNotThereIsRefused() {
        assertThrows(BadInputException.class, () -> RecordingReader.read(Path.of("/no/such/file")));
    }

    @Test
    void theFirstDifferenceIsFound() throws IOException {
        Recording one = read(recording(header(1), Answer.with(0).and("events", 4).build()));
        Recording other = read(recording(header(1), Answer.with(0).and("events", 5).build()));
        assertEquals(Optional.empty(), Difference.between(one, one));
        Difference difference = Difference.between(one, other).orElseThrow();
        assertEquals(3, difference.index());
        assertEquals(Set.of("events"), difference.fields());
    }

    @Test
    void recordingsOfTwoSequencesAreRefused() throws IOException {
        Recording one = read(recording(header(1), Answer.of(0)));
        Recording other = read(recording(header(2), Answer.of(0)));
        assertThrows(BadInputException.class, () -> Difference.between(one, other));
        String changed = recording(header(1), Answer.of(0)).replace("\"poll\"", "\"stat\"");
        Recording altered = read(changed);
        assertThrows(BadInputException.class, () -> Difference.between(one, altered));
    }
}
