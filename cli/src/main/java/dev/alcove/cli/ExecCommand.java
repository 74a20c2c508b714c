// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.supervisor.Supervisor;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.trace.SupervisedTrace;
import dev.alcove.sys.trace.TraceHeader;
import java.io.BufferedOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
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
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code alcove exec}: an unmodified program on the emulated kernel. */
@Command(
        name = "exec",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        customSynopsis = "alcove exec [--profile 7.2|6.18|6.12] [--device DEVICE]... [--huge-pages N] [--cpu-count N] [--trace FILE] [--] PROGRAM [ARGUMENT...]",
        description = {
            "Runs an unmodified Linux program whose opens of /dev/kvm, /dev/iommu and /dev/vfio/* are answered by the"
                    + " emulated kernel; everything else it does is the host's.",
            "",
            "Memory that the program gives to a device or to a virtual machine is the very same memory on both sides;"
                    + " private anonymous memory becomes shared for that, also with children that the program forks"
                    + " later. What else there is to know is in emulated-kernel/README.md.",
            "",
            "The exit status is the program's; 127 where there is no such"
                    + " program, 126 where it cannot be executed."
        },
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {
            "N:the program's; 128+N when signal N ended it",
            "3:the host does not let a program be supervised",
            "126:the program cannot be executed",
            "127:there is no such program"
        })
final class ExecCommand implements Callable<Integer> {
    private static final int CANNOT_EXECUTE = 126;
    private static final int NOT_FOUND = 127;
    private static final int MOST_PROCESSORS = 1024;

    /** Huge pages of 1 GiB in the machine's pool; only what is touched of them costs memory. */
    private static final long GIGANTIC_PAGES = 4;

    @Option(
            names = "--profile",
            paramLabel = "RELEASE",
            converter = ProfileConverter.class,
            description = "Which Linux is emulated: 7.2 (the default), 6.18 or 6.12.")
    private KernelProfile profile = KernelProfile.linux7_2();

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            converter = DeviceRequest.Converter.class,
            description = "A device of the machine, bound to vfio-pci: edu, at 0000:00:04.0, or"
                    + " nvme[,size=SIZE|,file=PATH], at 0000:00:05.0; each at most once.")
    private List<DeviceRequest> devices = List.of();

    @Option(
            names = "--huge-pages",
            paramLabel = "N",
            description = "Huge pages of 2 MiB in the machine's pool (/proc/sys/vm/nr_hugepages); ${DEFAULT-VALUE}. Only"
                    + " those that are touched cost memory.")
    private int hugePages = 1024;

    @Option(
            names = "--cpu-count",
            paramLabel = "N",
            description = "Processors that the program sees (sched_getaffinity, nproc, /sys/devices/system/cpu,"
                    + " KVM_CAP_NR_VCPUS), 1 to 1024; the host's by default.")
    private @Nullable Integer processors;

    @Option(
            names = "--trace",
            paramLabel = "FILE",
            description = "Writes each call of the program that the emulated kernel answers, as JSON lines"
                    + " (docs/trace.md).")
    private @Nullable String traceFile;

    @Parameters(paramLabel = "PROGRAM", arity = "1..*", description = "The program and its arguments.")
    private List<String> command = List.of();

    @Spec
    private @Nullable CommandSpec spec;

    /** Reads {@code --profile}. */
    static final class ProfileConverter implements CommandLine.ITypeConverter<KernelProfile> {
        @Override
        public KernelProfile convert(String value) {
            return switch (value) {
                case "7.2" -> KernelProfile.linux7_2();
                case "6.18" -> KernelProfile.linux6_18();
                case "6.12" -> KernelProfile.linux6_12();
                default -> throw new CommandLine.TypeConversionException("'" + value + "' is not 7.2, 6.18 or 6.12");
            };
        }
    }

    @Override
    public Integer call() throws InterruptedException {
        PrintWriter errors = Objects.requireNonNull(spec).commandLine().getErr();
        String name = command.getFirst();
        Path program = find(name);
        if (program == null) {
            Alcove.say(errors, name + ": " + (name.contains("/") ? "no such program" : "not found in PATH"), null);
            return NOT_FOUND;
        }
        if (!Files.isExecutable(program) || Files.isDirectory(program)) {
            Alcove.say(errors, program + ": cannot be executed", null);
            return CANNOT_EXECUTE;
        }
        boolean twice = devices.stream().map(DeviceRequest::getClass).distinct().count() < devices.size();
        if (twice || devices.stream().anyMatch(DeviceRequest.VfioPci.class::isInstance)) {
            throw new BadInputException("--device: edu and nvme, each at most once, are what an emulated machine can have");
        }
        List<String> environment = new ArrayList<>();
        System.getenv().forEach((variable, value) -> environment.add(variable + "=" + value));
        try (EmulatedKernel kernel = new EmulatedKernel(profile, new HostSyscalls())) {
            // The programs are those that test a kernel.
            kernel.enableIommufdTest();
            kernel.memory().hugePools().ordinary().resize(Math.max(0, hugePages));
            kernel.memory().hugePools().gigantic().resize(GIGANTIC_PAGES);
            devices.forEach(device -> EmulatedHost.plugIn(kernel, device));
            Supervisor supervisor = new Supervisor(kernel, trouble -> Alcove.say(errors, trouble, null));
            if (processors != null) {
                if (processors < 1 || processors > MOST_PROCESSORS) {
                    throw new BadInputException("--cpu-count " + processors + " is not in 1 to " + MOST_PROCESSORS);
                }
                supervisor.setProcessors(processors);
            }
            int status = traceFile == null
                    ? supervisor.run(program, command, environment)
                    : traced(supervisor, traceFile, program, environment, errors);
            kernel.kvm().troubles().forEach(trouble -> Alcove.say(errors, trouble, null));
            return status;
        } catch (SyscallException e) {
            if (e.errno() != Errno.EACCES && e.errno() != Errno.ENOEXEC && e.errno() != Errno.ENOENT) {
                throw e;
            }
            Alcove.say(errors, program + ": cannot be executed: " + Errno.message(e.errno()), null);
            return CANNOT_EXECUTE;
        }
    }

    private int traced(
            Supervisor supervisor, String file, Path program, List<String> environment, PrintWriter errors)
            throws InterruptedException {
        if (file.equals("-")) {
            throw new BadInputException(
                    "--trace - is not possible: standard output is the program's", "--trace /dev/fd/3 3>trace.jsonl");
        }
        SupervisedTrace trace;
        try {
            trace = new SupervisedTrace(
                    new BufferedOutputStream(Files.newOutputStream(Path.of(file)), 1 << 16), header());
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + file + "' cannot be written: " + e);
        }
        try {
            supervisor.traceTo(trace);
            int status = supervisor.run(program, command, environment);
            trace.ended(status);
            return status;
        } finally {
            try {
                trace.close();
            } catch (UncheckedIOException e) {
                Alcove.say(errors, "the trace is cut: it cannot be written: " + e.getCause(), null);
            }
        }
    }

    private TraceHeader header() {
        HostSyscalls host = new HostSyscalls();
        long memlock = new HostFiles(host).softLimit(Linux.RLIMIT_MEMLOCK);
        return new TraceHeader("emulated", profile.release(), command, host.geteuid(), memlock, List.of(), true);
    }

    /** As a shell finds it; null when there is none. */
    private static @Nullable Path find(String name) {
        if (name.contains("/")) {
            Path path = Path.of(name).toAbsolutePath();
            return Files.exists(path) ? path : null;
        }
        for (String folder : System.getenv().getOrDefault("PATH", "/usr/bin:/bin").split(File.pathSeparator, -1)) {
            Path path = Path.of(folder, name).toAbsolutePath();
            if (Files.isRegularFile(path) && Files.isExecutable(path)) {
                return path;
            }
        }
        return null;
    }
}
