// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.contract.fuzz.Fuzzing;
import dev.alcove.contract.fuzz.Header;
import dev.alcove.contract.fuzz.Op;
import dev.alcove.contract.fuzz.RecordingWriter;
import dev.alcove.contract.fuzz.Surface;
import dev.alcove.contract.fuzz.Surfaces;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.InvariantException;
import dev.alcove.vmm.RunReport;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code alcove fuzz}: random calls, recorded. */
@Command(
        name = "fuzz",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Makes random system calls of one surface and records every answer, as JSON lines.")
final class FuzzCommand implements Callable<Integer> {
    /** The values of {@code --kernel}. */
    enum KernelChoice {
        emulated,
        linux
    }

    @Option(names = "--surface", paramLabel = "NAME", description = "kvm-memory, guest-memfd, iommufd, vfio or all.")
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
    private KernelChoice kernel = KernelChoice.emulated;

    @Option(
            names = "--record",
            paramLabel = "FILE",
            description = "Where to: a file, - for stdout (the default); a folder when there are several seeds or"
                    + " surfaces, with a file SURFACE-SEED.jsonl for each.")
    private String record = "-";

    @Override
    public Integer call() throws IOException {
        if (ops < 0 || ops > 10_000_000) {
            throw new BadInputException("--ops " + ops + " is not between 0 and 10000000");
        }
        List<Surface> surfaces = surface.equals("all") ? Surfaces.all() : List.of(Surfaces.named(surface));
        boolean several = surfaces.size() > 1 || !seeds.isOne();
        for (Surface each : surfaces) {
            for (long seed : seeds.seeds().toArray()) {
                try (OutputStream out = open(several ? each.name() + "-" + seed + ".jsonl" : null)) {
                    record(each, seed, Fuzzing.sequence(each, seed, ops), out);
                }
            }
        }
        return 0;
    }

    private void record(Surface each, long seed, List<Op> sequence, OutputStream out) throws IOException {
        List<String> left = List.of();
        try (HostKernel host = start()) {
            RunReport.Kernel identity = host.identity();
            Header header = new Header(each.name(), seed, sequence.size(), identity.kind(), identity.release());
            try (RecordingWriter writer = new RecordingWriter(out, header)) {
                Fuzzing.perform(each, host.syscalls(), sequence, writer::write);
                writer.end();
            }
            if (host instanceof EmulatedHost emulated) {
                left = emulated.leaks();
            }
        }
        if (!left.isEmpty()) {
            throw new InvariantException("surface " + each.name() + ", seed " + seed + ": the emulated kernel has left "
                    + left);
        }
    }

    private HostKernel start() {
        return kernel == KernelChoice.linux
                ? new LinuxKernel()
                : EmulatedHost.create(Optional.of(new DeviceRequest.Edu()));
    }

    private OutputStream open(@Nullable String name) throws IOException {
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
