// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.Kvm;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.Coco;
import dev.alcove.vmm.ConversionOptions;
import dev.alcove.vmm.Machine;
import dev.alcove.vmm.MachineConfig;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.conversion.ConversionPolicy;
import dev.alcove.vmm.loader.PvhImage;
import dev.alcove.vmm.timeline.TimelineRecorder;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code alcove run}: one image on one machine, from start to end. */
@Command(
        name = "run",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Runs an image in a VM. The guest's serial output is on stdout, everything else on stderr.",
            "The exit status is 0 when the guest reports success; see 'alcove --help' for the others."
        })
final class RunCommand implements Callable<Integer> {
    /** The values of {@code --kernel}. */
    enum KernelChoice {
        auto,
        linux,
        emulated
    }

    /** The values of {@code --coco}. */
    enum CocoChoice {
        auto,
        none,
        swProtected;

        @Override
        public String toString() {
            return this == swProtected ? "sw-protected" : name();
        }

        /** For picocli. */
        static final class Converter implements CommandLine.ITypeConverter<CocoChoice> {
            @Override
            public CocoChoice convert(String text) {
                for (CocoChoice choice : values()) {
                    if (choice.toString().equals(text)) {
                        return choice;
                    }
                }
                throw new CommandLine.TypeConversionException("'" + text + "' is not auto, none or sw-protected");
            }
        }
    }

    /** The values of {@code --iommu-map}, for picocli. */
    static final class IommuMapConverter implements CommandLine.ITypeConverter<MachineConfig.IommuMap> {
        @Override
        public MachineConfig.IommuMap convert(String text) {
            return Stream.of(MachineConfig.IommuMap.values())
                    .filter(how -> how.label().equals(text))
                    .findFirst()
                    .orElseThrow(() -> new CommandLine.TypeConversionException(
                            "'" + text + "' is not one of " + String.join(", ", new IommuMapCandidates())));
        }
    }

    /** Completion for {@code --iommu-map}. */
    static final class IommuMapCandidates extends java.util.ArrayList<String> {
        private static final long serialVersionUID = 1L;

        IommuMapCandidates() {
            super(Stream.of(MachineConfig.IommuMap.values())
                    .map(MachineConfig.IommuMap::label)
                    .toList());
        }
    }

    private static final int HOST_LACKS = 3;

    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Parameters(paramLabel = "IMAGE", description = "A built-in image (see 'alcove images') or the path of a PVH ELF64.")
    private String image = "";

    @Option(
            names = "--kernel",
            paramLabel = "KERNEL",
            description = "auto, linux or emulated (default: ${DEFAULT-VALUE}). auto takes the real kernel where it can"
                    + " do the job, and says why not otherwise.")
    private KernelChoice kernel = KernelChoice.auto;

    @Option(
            names = "--coco",
            paramLabel = "KIND",
            converter = CocoChoice.Converter.class,
            completionCandidates = CocoCandidates.class,
            description = "auto, none or sw-protected (default: ${DEFAULT-VALUE}). auto takes sw-protected where the"
                    + " kernel offers it.")
    private CocoChoice coco = CocoChoice.auto;

    @Option(
            names = "--memory",
            paramLabel = "SIZE[,KEY=VALUE...]",
            converter = MemoryOption.Converter.class,
            description = "The guest's RAM, with K, M or G (default: 256M), and what it is made of: backend=ram, memfd"
                    + " (the default) or file, file=PATH, shared=on|off, hugepages=on|off, hugepage_size=2M|1G,"
                    + " prealloc=on|off.")
    private MemoryOption memory = MemoryOption.parse("256M");

    @Option(
            names = "--numa",
            paramLabel = "node,mem=SIZE[,cpus=N-N]",
            converter = NumaOption.Converter.class,
            description = "A NUMA node, which has RAM blocks of its own; repeat for each. The guest sees them in its"
                    + " memory map only (no SRAT: cpus is checked, no more), and the host's memory is not bound to"
                    + " nodes (no mbind: start alcove with numactl to bind all of it).")
    private List<NumaOption> nodes = List.of();

    /** The values of {@code --strategy}. */
    enum StrategyChoice {
        dual,
        inPlace;

        @Override
        public String toString() {
            return config().label();
        }

        MemoryConfig.Strategy config() {
            return this == dual ? MemoryConfig.Strategy.DUAL : MemoryConfig.Strategy.IN_PLACE;
        }

        /** For picocli. */
        static final class Converter implements CommandLine.ITypeConverter<StrategyChoice> {
            @Override
            public StrategyChoice convert(String text) {
                for (StrategyChoice choice : values()) {
                    if (choice.toString().equals(text)) {
                        return choice;
                    }
                }
                throw new CommandLine.TypeConversionException("'" + text + "' is not dual or in-place");
            }
        }
    }

    @Option(
            names = "--strategy",
            paramLabel = "STRATEGY",
            converter = StrategyChoice.Converter.class,
            description = "Where private pages are: dual (a guest_memfd beside the shared memory) or in-place (the same"
                    + " page of the same guest_memfd, with its contents: keep=1 for the guest; a proposal that no"
                    + " release of Linux has, so on the emulated kernel only) (default: dual).")
    private StrategyChoice strategy = StrategyChoice.dual;

    @Option(names = "--cpus", paramLabel = "N", description = "vCPUs (default: ${DEFAULT-VALUE}).")
    private int cpus = 1;

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            converter = DeviceRequest.Converter.class,
            description = "A device for the guest: edu, nvme[,size=SIZE|,file=PATH], or vfio-pci,host=BDF. An image"
                    + " that wants edu gets it by itself. Repeat for more devices.")
    private List<DeviceRequest> devices = List.of();

    @Option(
            names = "--iommu-map",
            paramLabel = "HOW",
            converter = IommuMapConverter.class,
            completionCandidates = IommuMapCandidates.class,
            description = "How the IOMMU follows conversions: cut (one ioctl an extent), page (one a page), remap (as"
                    + " cut, on any kernel, but DMA beside a conversion is blocked for a moment), or auto: cut where the"
                    + " kernel can, else page (default: auto).")
    private MachineConfig.IommuMap iommuMap = MachineConfig.IommuMap.AUTO;

    @Option(
            names = "--shared-limit",
            paramLabel = "SIZE",
            converter = MemorySize.Converter.class,
            description = "The guest may not have more shared memory than this; it gets E2BIG (default: no limit).")
    private @Nullable MemorySize sharedLimit;

    @Option(
            names = "--shared-extents",
            paramLabel = "N",
            description = "The guest's shared memory may not be in more pieces than this; it gets E2BIG (default:"
                    + " ${DEFAULT-VALUE}).")
    private int sharedExtents = ConversionPolicy.DEFAULT_EXTENTS;

    @Option(
            names = "--deny-conversion",
            paramLabel = "GPA+SIZE",
            converter = GpaRangeOption.Converter.class,
            description = "The guest may not convert a page of this range of its memory, such as 0x1000000+2M, in either"
                    + " direction; it gets EPERM. Repeat for more ranges.")
    private List<GpaRangeOption> denied = List.of();

    @Option(
            names = "--prefault",
            description = "Make memory present when the guest makes it private, not when it touches it.")
    private boolean prefault;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of images that use chance: seed=N for the guest.")
    private @Nullable Long seed;

    @Option(names = "--append", paramLabel = "STRING", description = "More words for the guest's command line.")
    private String append = "";

    @Option(
            names = "--timeout",
            paramLabel = "TIME",
            converter = TimeSpan.Converter.class,
            description = "Stop the guest after this time, with ms, s, m or h (default: 60s).")
    private TimeSpan timeout = TimeSpan.parse("60s");

    @Option(names = "--check", description = "Check the invariants after every conversion, not only at the end.")
    private boolean check;

    @Option(
            names = "--trace",
            paramLabel = "FILE",
            description = "Write every system call as a JSON line, for 'alcove replay'; FILE may be a pipe.")
    private @Nullable String trace;

    @Option(names = "--report", paramLabel = "FILE", description = "Write what happened as JSON; 'alcove report' shows it.")
    private @Nullable String report;

    /** Completion for {@code --coco}. */
    static final class CocoCandidates extends java.util.ArrayList<String> {
        private static final long serialVersionUID = 1L;

        CocoCandidates() {
            super(java.util.List.of("auto", "none", "sw-protected"));
        }
    }

    @Override
    public Integer call() throws IOException {
        PrintWriter errors = Objects.requireNonNull(spec).commandLine().getErr();
        if (seed != null && seed < 0) {
            throw new BadInputException("--seed " + seed + " is negative");
        }
        PvhImage guest = GuestImage.load(image);
        Optional<DeviceRequest> wanted = devices.stream()
                .findFirst()
                .or(() -> guest.note().wantsEdu() ? Optional.of(new DeviceRequest.Edu()) : Optional.empty());
        try (OutputStream reportFile = report == null ? OutputStream.nullOutputStream() : create(report);
                HostKernel host = chooseKernel(guest, wanted, errors)) {
            List<String> command = Objects.requireNonNull(spec).commandLine().getParseResult().originalArgs();
            RunTrace tracing = RunTrace.open(trace, host, wanted, command);
            RunReport result = null;
            Optional<String> failure = Optional.empty();
            try {
                result = run(host, tracing.syscalls(), guest, wanted, errors);
            } finally {
                failure = tracing.close(result == null ? null : result.exit());
                failure.ifPresent(what -> Alcove.say(errors, what, null));
            }
            RunReportJson.write(result, reportFile);
            int status = result.exit().status();
            return status == 0 && failure.isPresent() ? HOST_LACKS : status;
        }
    }

    private static OutputStream create(String path) {
        try {
            return new BufferedOutputStream(Files.newOutputStream(Path.of(path)));
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + path + "' cannot be written: " + e);
        }
    }

    private HostKernel chooseKernel(PvhImage guest, Optional<DeviceRequest> wanted, PrintWriter errors) {
        boolean privateMemory = coco == CocoChoice.swProtected
                || (coco == CocoChoice.auto && guest.note().wantsPrivateMemory());
        if (kernel != KernelChoice.emulated) {
            LinuxKernel linux = new LinuxKernel();
            Optional<String> obstacle = kernel == KernelChoice.linux
                    ? Optional.empty()
                    : linux.obstacle(privateMemory, wanted, strategy.config());
            if (obstacle.isEmpty()) {
                return linux;
            }
            Alcove.say(errors, "not on the real kernel: " + obstacle.get(), null);
        }
        Alcove.say(errors, "emulated kernel: for tests, it protects nothing", null);
        if (strategy == StrategyChoice.inPlace) {
            Alcove.say(errors, "in-place conversion of guest_memfd is a proposal: no release of Linux has it", null);
        }
        return EmulatedHost.create(wanted, devices.stream().skip(1).toList(), memoryConfig());
    }

    /** Builds and runs the machine. What goes wrong becomes the outcome, so that there is a report in any case. */
    private RunReport run(
            HostKernel host, Syscalls syscalls, PvhImage guest, Optional<DeviceRequest> wanted, PrintWriter errors) {
        long start = System.nanoTime();
        Coco kind = Coco.NONE;
        VmOutcome outcome;
        RunReport.Memory memoryReport = new RunReport.Memory(
                memory.size().bytes(), memory.size().bytes(), 0, null, null, null);
        RunReport.Conversions conversions = new RunReport.Conversions(0, 0, 0, 0);
        RunReport.Iommu iommu = RunReport.Iommu.none();
        RunReport.Invariants invariants = new RunReport.Invariants(0, 0);
        RunReport.Timeline timeline = null;
        // Not closed: it is the process's stdout. The machine flushes it.
        OutputStream console = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out));
        try {
            kind = chooseCoco(syscalls, guest);
            MachineConfig config = config(host, syscalls, guest, wanted, kind, errors, console);
            try (Machine machine = Machine.create(syscalls, config)) {
                machine.forecasts().forEach(line -> Alcove.say(errors, "warning: " + line, null));
                TimelineRecorder recorder =
                        report == null ? null : TimelineRecorder.start(machine::sample, host::blockedDma);
                try {
                    outcome = machine.run(timeout.duration());
                } finally {
                    if (recorder != null) {
                        recorder.close();
                        timeline = recorder.report();
                    }
                }
                memoryReport = machine.memoryReport();
                conversions = machine.conversionReport();
                iommu = machine.iommuReport();
                invariants = machine.invariantReport();
            }
        } catch (AlcoveException e) {
            outcome = VmOutcome.of(e);
        } catch (UncheckedIOException e) {
            outcome = new VmOutcome.HostLacks(e.getMessage() + ": " + e.getCause());
        }
        if (!(outcome instanceof VmOutcome.GuestSuccess)) {
            Alcove.say(errors, outcome.reason(), null);
        }
        return new RunReport(
                host.identity(),
                kind.label(),
                new RunReport.Exit(outcome.reason(), outcome.status()),
                host.instructions(),
                (System.nanoTime() - start) / 1_000_000,
                memoryReport,
                conversions,
                iommu,
                host.dma(),
                invariants,
                timeline);
    }

    private MemoryConfig memoryConfig() {
        return new MemoryConfig(
                memory.size().bytes(),
                memory.backend(),
                strategy.config(),
                nodes.stream().map(NumaOption::node).toList());
    }

    private MachineConfig config(
            HostKernel host,
            Syscalls syscalls,
            PvhImage guest,
            Optional<DeviceRequest> wanted,
            Coco kind,
            PrintWriter errors,
            OutputStream console) {
        StringBuilder commandLine = new StringBuilder(append.strip());
        if (seed != null) {
            commandLine.append(" seed=").append(seed);
        }
        if (strategy == StrategyChoice.inPlace) {
            // Our images check what is in a page after its conversion.
            commandLine.append(" keep=1");
        }
        commandLine.append(" cpus=").append(cpus);
        return new MachineConfig(
                guest,
                memoryConfig(),
                cpus,
                kind,
                Stream.concat(wanted.stream(), devices.stream().skip(1))
                        .map(request -> request.find(syscalls))
                        .toList(),
                iommuMap,
                check,
                host.view(),
                conversions(errors),
                commandLine.toString().strip(),
                console);
    }

    private ConversionOptions conversions(PrintWriter errors) {
        if (sharedExtents < 1) {
            throw new BadInputException("--shared-extents " + sharedExtents + ": at least 1");
        }
        ConversionPolicy policy = new ConversionPolicy(
                sharedLimit == null ? Long.MAX_VALUE : sharedLimit.bytes(),
                sharedExtents,
                denied.stream().map(GpaRangeOption::range).toList());
        return new ConversionOptions(policy, prefault, line -> Alcove.say(errors, line, null));
    }

    /** auto is sw-protected where the kernel offers it; where not, the machine says so if the image needs it. */
    private Coco chooseCoco(Syscalls syscalls, PvhImage guest) {
        return switch (coco) {
            case none -> Coco.NONE;
            case swProtected -> Coco.SW_PROTECTED;
            case auto -> {
                if (guest.note().wantsPrivateMemory()) {
                    yield Coco.SW_PROTECTED;
                }
                try (Kvm system = Kvm.open(syscalls)) {
                    yield system.hasVmType(kvm.KVM_X86_SW_PROTECTED_VM()) ? Coco.SW_PROTECTED : Coco.NONE;
                }
            }
        };
    }
}
