// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.contract.fuzz.Answer;
import dev.alcove.contract.fuzz.Description;
import dev.alcove.contract.fuzz.Difference;
import dev.alcove.contract.fuzz.Digest;
import dev.alcove.contract.fuzz.DigestFile;
import dev.alcove.contract.fuzz.Header;
import dev.alcove.contract.fuzz.Op;
import dev.alcove.contract.fuzz.Performer;
import dev.alcove.contract.fuzz.Recording;
import dev.alcove.contract.fuzz.RecordingReader;
import dev.alcove.contract.fuzz.RecordingWriter;
import dev.alcove.contract.fuzz.Shrinking;
import dev.alcove.contract.fuzz.Surface;
import dev.alcove.contract.fuzz.Surfaces;
import dev.alcove.sys.BadInputException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** {@code alcove fuzz --compare}: two recordings, or two folders of them. */
final class FuzzComparison {
    private static final int OPS_BEFORE = 12;

    private final PrintWriter out;
    private final @Nullable Path shrunk;
    private int toShrink;

    /** What a table row counts. */
    private static final class Row {
        private int seeds;
        private long ops;
        private int differences;
    }

    /** By surface. */
    private final Map<String, Row> rows = new LinkedHashMap<>();

    /**
     * @param toShrink how many differences to shrink
     * @param shrunk where the first shrunk sequence goes, or null
     */
    FuzzComparison(PrintWriter out, int toShrink, @Nullable Path shrunk) {
        this.out = out;
        this.toShrink = toShrink;
        this.shrunk = shrunk;
    }

    /**
     * Compares, and prints what differs.
     *
     * @return whether all is the same
     * @throws BadInputException when the recordings are no good, or do not belong together
     */
    boolean compare(Path left, Path right) throws IOException {
        if (!Files.isDirectory(left) || !Files.isDirectory(right)) {
            return DigestFile.is(left) ? compareDigests(left, right) : compareFiles(left, right);
        }
        NavigableSet<String> names = names(left);
        NavigableSet<String> others = names(right);
        if (!names.equals(others)) {
            NavigableSet<String> lone = new TreeSet<>(names);
            lone.addAll(others);
            names.retainAll(others);
            lone.removeAll(names);
            throw new BadInputException("'" + left + "' and '" + right + "' do not hold the same recordings: only one has "
                    + lone.first() + (lone.size() > 1 ? " and " + (lone.size() - 1) + " more" : ""));
        }
        if (names.isEmpty()) {
            throw new BadInputException("there is no recording (*.jsonl) in '" + left + "'");
        }
        boolean same = true;
        for (String name : names) {
            same &= compareFiles(left.resolve(name), right.resolve(name));
        }
        table();
        return same;
    }

    private boolean compareDigests(Path leftFile, Path rightFile) {
        Map<List<Object>, Digest> others = new HashMap<>();
        DigestFile.read(rightFile).forEach(digest -> others.put(sequence(digest.header()), digest));
        boolean same = true;
        for (Digest left : DigestFile.read(leftFile)) {
            Header header = left.header();
            Digest right = others.get(sequence(header));
            if (right == null) {
                throw new BadInputException("'" + rightFile + "' has no digest of " + header.describe());
            }
            boolean differs = count(header, left.difference(right) >= 0);
            if (differs) {
                out.println("surface " + header.surface() + ", seed " + header.seed() + ": first difference at op "
                        + left.difference(right) + " to " + (left.difference(right) + Digest.BLOCK - 1) + " of " + header.ops());
            }
            same &= !differs;
        }
        table();
        return same;
    }

    private static List<Object> sequence(Header header) {
        return List.of(header.surface(), header.seed(), header.ops());
    }

    /** Counts a sequence in the table. Returns {@code differs}. */
    private boolean count(Header header, boolean differs) {
        Row row = rows.computeIfAbsent(header.surface(), _ -> new Row());
        row.seeds++;
        row.ops += header.ops();
        row.differences += differs ? 1 : 0;
        return differs;
    }

    private static NavigableSet<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            NavigableSet<String> names = new TreeSet<>();
            files.map(file -> String.valueOf(file.getFileName()))
                    .filter(name -> name.endsWith(".jsonl"))
                    .forEach(names::add);
            return names;
        }
    }

    private boolean compareFiles(Path leftFile, Path rightFile) throws IOException {
        Recording left = RecordingReader.read(leftFile);
        Recording right = RecordingReader.read(rightFile);
        Optional<Difference> difference = Difference.between(left, right);
        if (count(left.header(), difference.isPresent())) {
            show(left.header(), right.header(), difference.orElseThrow());
        }
        return difference.isEmpty();
    }

    private void show(Header left, Header right, Difference difference) throws IOException {
        Surface surface = Surfaces.named(left.surface());
        String one = left.kernel() + " " + left.release();
        String other = right.kernel() + " " + right.release();
        out.println("surface " + left.surface() + ", seed " + left.seed() + ": first difference at op "
                + difference.index() + " of " + left.ops());
        new Description(surface).of(difference, one, other, OPS_BEFORE).forEach(out::println);
        if (toShrink > 0) {
            toShrink--;
            Difference shortest = shrink(surface, left, right, difference);
            out.println("  shrunk to " + shortest.ops().size() + " ops:");
            new Description(surface).whole(shortest, one, other).forEach(out::println);
            if (shrunk != null) {
                write(shrunk, left, shortest.ops());
            }
        }
        out.flush();
    }

    private Difference shrink(Surface surface, Header left, Header right, Difference difference) {
        Optional<Performer> one = performer(left, surface);
        Optional<Performer> other = performer(right, surface);
        if (one.isPresent() && other.isPresent()) {
            return Shrinking.shrink(
                    difference, Performer.stillDiffers(surface, one.get(), other.get(), difference));
        }
        Optional<Performer> here = one.or(() -> other);
        String missing = (one.isPresent() ? right : left).kernel() + " " + (one.isPresent() ? right : left).release();
        if (here.isEmpty()) {
            out.println("  neither kernel is here to shrink it on");
            return difference;
        }
        out.println("  " + missing + " is not here: shrunk to what keeps the answer of "
                + (one.isPresent() ? left : right).kernel() + " alone, which may be too short");
        return Shrinking.shrink(
                difference, Performer.stillAnswers(surface, here.get(), one.isPresent(), difference));
    }

    private static Optional<Performer> performer(Header header, Surface surface) {
        return Arrays.stream(FuzzKernel.values())
                .filter(kernel -> kernel.isOf(header, surface))
                .findFirst()
                .map(kernel -> kernel::perform);
    }

    /** A recording without answers, for {@code --replay}. */
    private static void write(Path file, Header of, List<Op> ops) throws IOException {
        Header header = new Header(of.surface(), of.seed(), ops.size(), "none", "");
        try (OutputStream stream = Files.newOutputStream(file);
                RecordingWriter writer = new RecordingWriter(stream, header)) {
            for (Op op : ops) {
                writer.write(op, Answer.of(Map.of()));
            }
            writer.end();
        }
    }

    private void table() {
        out.printf("%-14s %8s %10s %12s%n", "surface", "seeds", "ops", "differences");
        rows.forEach((surface, row) ->
                out.printf("%-14s %8d %10d %12d%n", surface, row.seeds, row.ops, row.differences));
        out.flush();
    }
}
