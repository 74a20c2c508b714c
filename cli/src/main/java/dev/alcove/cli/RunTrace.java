// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.trace.TraceHeader;
import dev.alcove.sys.trace.TracingSyscalls;
import dev.alcove.vfio.VfioDevices;
import dev.alcove.vmm.RunReport;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The trace of a run, where one is asked for. */
final class RunTrace {
    private final Syscalls syscalls;
    private final @Nullable TracingSyscalls tracing;

    private RunTrace(Syscalls syscalls, @Nullable TracingSyscalls tracing) {
        this.syscalls = syscalls;
        this.tracing = tracing;
    }

    /**
     * Opens the file and writes where the run takes place.
     *
     * @param path null for no trace
     * @param wanted the device that the guest is to get
     * @param command the command line
     * @throws BadInputException the file cannot be written
     */
    static RunTrace open(
            @Nullable String path, HostKernel host, Optional<DeviceRequest> wanted, List<String> command) {
        if (path == null) {
            return new RunTrace(host.syscalls(), null);
        }
        if (path.equals("-")) {
            throw new BadInputException(
                    "--trace - is not possible: the guest's console is on standard output",
                    "--trace /dev/fd/3 3>trace.jsonl, or a named pipe, or --trace >(alcove replay -)");
        }
        try {
            TracingSyscalls tracing = new TracingSyscalls(
                    host.syscalls(),
                    new BufferedOutputStream(Files.newOutputStream(Path.of(path)), 1 << 16),
                    header(host, wanted, command));
            return new RunTrace(tracing, tracing);
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + path + "' cannot be written: " + e);
        }
    }

    private static TraceHeader header(HostKernel host, Optional<DeviceRequest> wanted, List<String> command) {
        return new TraceHeader(
                host.identity().kind(),
                host.identity().release(),
                command,
                host.syscalls().geteuid(),
                new HostFiles(host.syscalls()).softLimit(Linux.RLIMIT_MEMLOCK),
                wanted.flatMap(request -> device(host.syscalls(), request)).stream().toList());
    }

    private static Optional<TraceHeader.Device> device(Syscalls syscalls, DeviceRequest wanted) {
        try {
            VfioDevices.Entry entry = VfioDevices.find(syscalls, wanted.find(syscalls));
            String id = String.format(Locale.ROOT, "%04x:%04x", entry.vendor(), entry.device());
            return Optional.of(new TraceHeader.Device(entry.address().toString(), id, entry.cdev()));
        } catch (AlcoveException e) {
            return Optional.empty(); // the run will say so
        }
    }

    /** What to run on. */
    Syscalls syscalls() {
        return syscalls;
    }

    /**
     * Writes the end.
     *
     * @param exit of the run; null when it broke off
     * @return what is wrong with the trace, if something is
     */
    Optional<String> close(RunReport.@Nullable Exit exit) {
        TracingSyscalls present = tracing;
        if (present == null) {
            return Optional.empty();
        }
        if (exit != null) {
            present.ended(exit.status(), exit.reason());
        }
        try {
            present.close();
            return Optional.empty();
        } catch (UncheckedIOException e) {
            return Optional.of("the trace is cut: it cannot be written: " + e.getCause());
        }
    }
}
