// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.contract.fuzz.Digest;
import dev.alcove.contract.fuzz.DigestFile;
import dev.alcove.contract.fuzz.Fuzzing;
import dev.alcove.contract.fuzz.Header;
import dev.alcove.contract.fuzz.Op;
import dev.alcove.contract.fuzz.Recording;
import dev.alcove.contract.fuzz.RecordingReader;
import dev.alcove.contract.fuzz.RecordingWriter;
import dev.alcove.contract.fuzz.Surface;
import dev.alcove.contract.fuzz.Surfaces;
import dev.alcove.sys.BadInputException;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code alcove fuzz}: random calls, recorded, compared and shrunk. */
@Command(
        name = "fuzz",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Makes random system calls of one surface and records every answer, as JSON lines;",
            "or compares two such recordings and shrinks the sequence that two kernels answer differently."
        },
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {
            "0:recorded; or no difference",
            "1:a difference, or with --fail-nth something that a failure changes",
            "2:bad usage, or recordings that are cut, of another version, or do not belong together",
            "3:the kernel lacks the surface",
            "4:the emulated kernel has leaked"
        })
final class FuzzCommand implements Callable<Integer> {
    private static final int MOST_OPS = 10_000_000;

    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Option(
            names = "--surface",
            paramLabel = "NAME",
            description = "kvm-memory, guest-memfd, iommufd, vfio, vfio-container or all (default: ${DEFAULT-VALUE}); several with commas.")
    private String surface = "all";

    @Option(names = "--ops", paramLabel = "N", description = "Calls of a sequence (default: ${DEFAULT-VALUE}).")
    private int ops = 1000;

    @Option(
            names = "--seed",
            paramLabel = "S|A..B",
            converter = SeedRange.Converter.class,
            description = "Of the sequence, or of several (default: 1).")
    private SeedRange seeds = new SeedRange(1, 1);

    @Option(names = "--kernel", paramLabel = "KERNEL", description = "emulated or linux (default: ${DEFAULT-VALUE}).")
    private FuzzKernel kernel = FuzzKernel.emulated;

    @Option(
            names = "--record",
            paramLabel = "FILE",
            description = "Where to: a file, - for stdout (the default); a folder when there are several seeds or"
                    + " surfaces or the name ends with /, with a file SURFACE-SEED.jsonl for each.")
    private String record = "-";

    @Option(
            names = "--digests",
            paramLabel = "FILE",
            description = "Instead of recordings, write only hashes of them: a line for each sequence, to be compared"
                    + " with --compare. Where they differ, --record and --compare tell why.")
    private @Nullable Path digests;

    @Option(names = "--replay", paramLabel = "FILE", description = "Perform the ops of a recording, not random ones.")
    private @Nullable Path replay;

    @Option(
            names = "--compare",
            arity = "2",
            paramLabel = "A B",
            description = "Compare two recordings, or two folders of them.")
    private @Nullable List<Path> compare;

    @Option(
            names = "--shrink",
            paramLabel = "N",
            description = "With --compare: how many differences to shrink (default: ${DEFAULT-VALUE}).")
    private int shrink = 1;

    @Option(
            names = "--shrunk",
            paramLabel = "FILE",
            description = "With --compare: where the shrunk sequence goes, for --replay.")
    private @Nullable Path shrunk;

    @Option(
            names = "--fail-nth",
            description = "Let each call fail at each of its allocations in turn before it gets through, and expect the"
                    + " answers of a run without failures. On the emulated kernel; nothing is recorded.")
    private boolean failNth;

    @Override
    public Integer call() throws IOException {
        if (ops < 0 || ops > MOST_OPS) {
            throw new BadInputException("--ops " + ops + " is not between 0 and " + MOST_OPS);
        }
        if (compare != null) {
            PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
            boolean same = new FuzzComparison(out, shrink, shrunk).compare(compare.get(0), compare.get(1));
            out.flush();
            return same ? 0 : 1;
        }
        if (replay != null) {
            replay(RecordingReader.read(replay));
            return 0;
        }
        List<Surface> surfaces = surfaces();
        if (failNth) {
            return failNth(surfaces);
        }
        if (digests != null) {
            digest(surfaces, digests);
            return 0;
        }
        boolean several = surfaces.size() > 1 || !seeds.isOne() || record.endsWith("/");
        List<String> leaks = new ArrayList<>();
        for (Surface each : surfaces) {
            for (long seed : seeds.seeds().toArray()) {
                String name = several ? each.name() + "-" + seed + ".jsonl" : null;
                for (String leak : record(each, seed, Fuzzing.sequence(each, seed, ops), name)) {
                    leaks.add(each.name() + " seed " + seed + ": " + leak);
                }
            }
        }
        FuzzKernel.check(leaks);
        return 0;
    }

    private void digest(List<Surface> surfaces, Path file) throws IOException {
        String release = kernel.release();
        List<String> leaks = new ArrayList<>();
        try (DigestFile out = new DigestFile(Files.newOutputStream(file))) {
            for (long seed : seeds.seeds().toArray()) {
                for (Surface each : surfaces) {
                    Digest.Builder digest = new Digest.Builder(new Header(each.name(), seed, ops, kernel.name(), release));
                    for (String leak : kernel.perform(each, Fuzzing.sequence(each, seed, ops), digest::add)) {
                        leaks.add(each.name() + " seed " + seed + ": " + leak);
                    }
                    out.write(digest.build());
                }
            }
        }
        FuzzKernel.check(leaks);
    }

    /** Stops at the first violation. */
    private int failNth(List<Surface> surfaces) {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        FuzzFailures failures = new FuzzFailures(out);
        boolean fine = surfaces.stream()
                .allMatch(each -> seeds.seeds().allMatch(seed -> failures.run(each, seed, ops)));
        out.println(failures.failures() + " allocations failed" + (fine ? ", and nothing was lost" : ""));
        out.flush();
        return fine ? 0 : 1;
    }

    private List<Surface> surfaces() {
        if (surface.equals("all")) {
            return Surfaces.all();
        }
        List<Surface> named = new ArrayList<>();
        for (String name : surface.split(",", -1)) {
            named.add(Surfaces.named(name));
        }
        return named;
    }

    private void replay(Recording recording) throws IOException {
        Header header = recording.header();
        FuzzKernel.check(record(Surfaces.named(header.surface()), header.seed(), recording.ops(), null));
    }

    /** Performs and records. Returns what is left in the kernel. */
    private List<String> record(Surface each, long seed, List<Op> sequence, @Nullable String name) throws IOException {
        Header header = new Header(each.name(), seed, sequence.size(), kernel.name(), kernel.release());
        try (OutputStream out = open(name);
                RecordingWriter writer = new RecordingWriter(out, header)) {
            List<String> leaks = kernel.perform(each, sequence, writer::write);
            writer.end();
            return leaks;
        }
    }

    private OutputStream open(@Nullable String name) {
        if (name == null && record.equals("-")) {
            return new BufferedOutputStream(new FileOutputStream(FileDescriptor.out));
        }
        try {
            Path path = Path.of(record);
            if (name != null) {
                Files.createDirectories(path);
                path = path.resolve(name);
            }
            return new BufferedOutputStream(Files.newOutputStream(path));
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + record + "' cannot be written: " + e);
        }
    }
}
