// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

class FuzzCommandTest {
    private final StringWriter errors = new StringWriter();

    @TempDir
    private Path folder = Path.of("");

    private int run(String... arguments) {
        return Alcove.execute(arguments, new PrintWriter(errors, true));
    }

    @Test
    void digestsAreCompared() {
        String one = folder.resolve("one").toString();
        String other = folder.resolve("other").toString();
        String[] fuzz = {"fuzz", "--surface", "kvm-memory,iommufd", "--ops", "60", "--seed", "1..2", "--digests", one};
        assertEquals(0, run(fuzz), errors.toString());
        fuzz[fuzz.length - 1] = other;
        assertEquals(0, run(fuzz), errors.toString());
        assertEquals(0, run("fuzz", "--compare", one, other), errors.toString());
        assertEquals(0, run("fuzz", "--ops", "60", "--seed", "1", "--surface", "iommufd", "--digests", other));
        assertEquals(2, run("fuzz", "--compare", one, other), "the other one has fewer");
        assertEquals(0, run("fuzz", "--compare", other, one), errors.toString());
    }

    private String record(String name, String surface, String seed) {
        String file = folder.resolve(name).toString();
        assertEquals(
                0, run("fuzz", "--surface", surface, "--ops", "60", "--seed", seed, "--record", file), errors.toString());
        return file;
    }

    @Test
    void twoRecordingsOfASeedAreTheSame() {
        String one = record("one", "kvm-memory", "5");
        assertEquals(0, run("fuzz", "--compare", one, record("other", "kvm-memory", "5")));
        assertEquals(0, run("fuzz", "--replay", one, "--record", folder.resolve("again").toString()));
        assertEquals(0, run("fuzz", "--compare", one, folder.resolve("again").toString()));
    }

    @Test
    void aDoctoredAnswerIsADifferenceAndItsSequenceCanBeReplayed() throws IOException {
        String one = record("one", "guest-memfd", "5");
        Path doctored = folder.resolve("doctored");
        List<String> lines = Files.readAllLines(Path.of(one));
        lines.replaceAll(line -> line.startsWith("{\"index\":40,")
                ? line.replaceFirst("\"answer\":-?\\d+", "\"answer\":-71")
                : line);
        lines.set(0, lines.get(0).replace("\"emulated\"", "\"linux\""));
        Files.write(doctored, lines);
        String shrunk = folder.resolve("shrunk").toString();
        assertEquals(1, run("fuzz", "--compare", one, doctored.toString(), "--shrunk", shrunk));
        assertEquals(0, run("fuzz", "--replay", shrunk, "--record", folder.resolve("out").toString()), errors.toString());
        assertTrue(Files.readAllLines(Path.of(shrunk)).size() < 40);
    }

    @Test
    void foldersHaveAFileForEachSeed() throws IOException {
        record("one", "kvm-memory,guest-memfd", "1..3");
        record("other", "kvm-memory,guest-memfd", "1..3");
        String one = folder.resolve("one").toString();
        String other = folder.resolve("other").toString();
        assertTrue(Files.exists(Path.of(one, "guest-memfd-3.jsonl")));
        assertEquals(0, run("fuzz", "--compare", one, other));
        Files.delete(Path.of(other, "kvm-memory-2.jsonl"));
        assertEquals(2, run("fuzz", "--compare", one, other));
        assertTrue(errors.toString().contains("only one has kvm-memory-2.jsonl"), errors.toString());
    }

    @Test
    void recordingsThatAreNoGoodAreStatus2() throws IOException {
        String one = record("one", "kvm-memory", "5");
        assertEquals(2, run("fuzz", "--compare", one, record("other", "kvm-memory", "6")));
        assertTrue(errors.toString().contains("do not belong together"), errors.toString());
        List<String> lines = Files.readAllLines(Path.of(one));
        Path cut = Files.write(folder.resolve("cut"), lines.subList(0, 30));
        assertEquals(2, run("fuzz", "--compare", one, cut.toString()));
        assertTrue(errors.toString().contains("is cut"), errors.toString());
        lines.set(0, lines.get(0).replace("\"version\":1", "\"version\":9"));
        Path newer = Files.write(folder.resolve("newer"), lines);
        assertEquals(2, run("fuzz", "--replay", newer.toString()));
        assertTrue(errors.toString().contains("has version 9"), errors.toString());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "fuzz --surface sound",
                "fuzz --ops -1",
                "fuzz --ops x",
                "fuzz --seed 3..1",
                "fuzz --seed -4",
                "fuzz --kernel hurd",
                "fuzz --compare a",
                "fuzz --compare /no/such/a /no/such/b",
                "fuzz --replay /no/such/file",
                "fuzz --surface kvm-memory --ops 1 --record /no/such/folder/file"
            })
    void badUsageIsStatus2(String line) {
        assertEquals(2, run(line.split(" ")), errors.toString());
    }
}
