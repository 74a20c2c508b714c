// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.trace.Replay;
import dev.alcove.sys.trace.ReplayOptions;
import dev.alcove.sys.trace.ReplayResult;
import dev.alcove.sys.trace.TraceHeader;
import dev.alcove.sys.trace.TraceReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code alcove replay}: the system calls of a recorded run on another kernel. */
@Command(
        name = "replay",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Makes the system calls of a trace (run --trace) again and names what the kernel does otherwise.",
            "The guest does not run: what KVM_RUN gave out comes from the trace."
        },
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {
            "0:no difference",
            "1:differences",
            "2:bad usage or a bad trace",
            "3:the host lacks something"
        })
final class ReplayCommand implements Callable<Integer> {
    /** The values of {@code --kernel}. */
    enum KernelChoice {
        linux,
        emulated
    }

    /** For {@code --profile}. */
    static final class ProfileConverter implements CommandLine.ITypeConverter<KernelProfile> {
        @Override
        public KernelProfile convert(String text) {
            return switch (text) {
                case "6.12" -> KernelProfile.linux6_12();
                case "6.18" -> KernelProfile.linux6_18();
                case "7.2" -> KernelProfile.linux7_2();
                default -> throw new CommandLine.TypeConversionException("'" + text + "' is not 6.12, 6.18 or 7.2");
            };
        }
    }

    private static final Duration LONGEST_CALL = Duration.ofSeconds(60);

    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Parameters(paramLabel = "FILE", description = "The trace; - reads standard input.")
    private String file = "";

    @Option(
            names = "--kernel",
            paramLabel = "KERNEL",
            description = "emulated or linux (default: ${DEFAULT-VALUE}); linux makes the calls on this host.")
    private KernelChoice kernel = KernelChoice.emulated;

    @Option(
            names = "--profile",
            paramLabel = "RELEASE",
            converter = ProfileConverter.class,
            description = "What the emulated kernel emulates: 6.12, 6.18 or 7.2 (default: what is next to the recorded"
                    + " release).")
    private @Nullable KernelProfile profile;

    @Option(names = "--json", description = "Print differences as JSON lines, and the sums as the last one.")
    private boolean json;

    @Option(
            names = "--limit",
            paramLabel = "N",
            description = "Print so many differences, count the others (default: ${DEFAULT-VALUE}).")
    private long limit = 20;

    @Override
    public Integer call() throws IOException {
        if (limit < 0) {
            throw new BadInputException("--limit " + limit + " is negative");
        }
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        try (TraceReader trace = new TraceReader(open(), file)) {
            ReplayReport report = json ? new ReplayReport.Json(out, limit) : new ReplayReport.Text(out, limit);
            ReplayResult result = kernel == KernelChoice.linux
                    ? onLinux(trace, report)
                    : onEmulated(trace, report);
            return result.differences() == 0 ? 0 : 1;
        } finally {
            out.flush();
        }
    }

    private InputStream open() {
        if (file.equals("-")) {
            return System.in;
        }
        try {
            return Files.newInputStream(Path.of(file));
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + file + "' cannot be read: " + e);
        }
    }

    private ReplayResult onLinux(TraceReader trace, ReplayReport report) {
        LinuxKernel host = new LinuxKernel(new HostSyscalls());
        ReplayOptions options = new ReplayOptions(Map.of(), true, true, LONGEST_CALL);
        return replay(host.syscalls(), options, trace, report, "linux " + host.identity().release());
    }

    private ReplayResult onEmulated(TraceReader trace, ReplayReport report) {
        TraceHeader header = trace.header();
        KernelProfile chosen = profile == null ? ReplayHost.profile(header.release()) : profile;
        try (ReplayHost host = ReplayHost.create(header, chosen)) {
            ReplayOptions options = new ReplayOptions(host.paths(), host.sameDevices(), false, LONGEST_CALL);
            return replay(host.process(), options, trace, report, "emulated " + chosen.release());
        }
    }

    private static ReplayResult replay(
            Syscalls syscalls, ReplayOptions options, TraceReader trace, ReplayReport report, String where) {
        try (Replay replay = new Replay(syscalls, options, report::difference)) {
            ReplayResult result = replay.run(trace);
            report.end(trace.header(), where, result);
            return result;
        }
    }
}
