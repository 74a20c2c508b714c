// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * Makes the calls of a trace again on another kernel, in their order and one after the other, each recorded thread's
 * calls on a thread of their own, and names what the kernel does otherwise (docs/trace.md).
 *
 * <p>The guest does not run again: what KVM_RUN gave out is taken from the record. So is what files of the machine
 * say, under /proc and /sys, and what a guest or a device has signalled.
 */
public final class Replay implements AutoCloseable {
    private static final long NOWHERE_BYTES = 1L << 36;
    private static final long LARGE_PAGE = 2 << 20;
    private static final int NOTHING = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_NORESERVE;

    private final Syscalls kernel;
    private final ReplayOptions options;
    private final Consumer<Difference> sink;
    private final ReplayThreads threads = new ReplayThreads();
    private final FieldRules rules = new FieldRules();
    private final Ioctls ioctls = new Ioctls();
    private final long nowhere;
    private final Translation names;
    private boolean guestRan;
    private long calls;
    private long compared;
    private long givenBack;
    private long skipped;
    private long differences;

    /**
     * @param kernel of which nothing is open yet
     * @param sink gets each difference as it is found
     */
    public Replay(Syscalls kernel, ReplayOptions options, Consumer<Difference> sink) {
        this.kernel = kernel;
        this.options = options;
        this.sink = sink;
        this.nowhere = kernel.mmap(0, NOWHERE_BYTES, Linux.PROT_NONE, NOTHING, -1, 0);
        if (Linux.isError(nowhere)) {
            throw new MissingFeatureException("no address space for the replay: " + Errno.name(nowhere));
        }
        this.names = new Translation(options.paths(), nowhere);
    }

    /**
     * Replays all of a trace. Once only.
     *
     * @throws BadInputException the trace is cut, damaged, or asks for something unknown
     * @throws MissingFeatureException the host lacks a device file ({@link ReplayOptions#mayLack})
     */
    public ReplayResult run(TraceReader trace) {
        if (trace.header().supervised()) {
            throw new BadInputException(
                    "a trace of alcove exec cannot be replayed: what the program asked the host's kernel, its memory and"
                            + " its closes among it, is not in there",
                    "alcove run --trace records every call; this trace is JSON lines, for jq and the like");
        }
        for (TraceLine line = trace.next(); line != null; line = trace.next()) {
            TraceLine current = line;
            calls++;
            try {
                Call call = line.call();
                if (call == Call.TGKILL && line.answer() == -Errno.ESRCH) {
                    threads.end((int) line.number("tid")); // this is how a trace tells that a thread has ended
                }
                threads.run(line.text("thread"), () -> step(current, call), options.limit());
            } catch (BadInputException e) {
                throw trace.bad(line.number(), e.getMessage());
            } catch (ReplayThreads.Stuck e) {
                differs(line, "answer", Comparison.answer(line.answer()),
                        "none within " + options.limit().toSeconds() + " s; the replay ends here");
                break;
            }
        }
        return new ReplayResult(calls, compared, givenBack, skipped, differences);
    }

    private void step(TraceLine line, Call call) {
        if (line.get("answer") == null) {
            givenBack++; // an exception came out of the recorded call
            return;
        }
        ReplayCall.@Nullable Named ioctl = call.isIoctl() ? named(line) : null;
        Translation.@Nullable OpenFile file = hasFile(call) ? names.file((int) line.number("fd")) : null;
        if (isGivenBack(line, call, ioctl, file)) {
            givenBack++;
            guestRan |= ioctl != null && ioctl.name().equals("KVM_RUN");
            follow(line, call, ioctl, -1, true);
            return;
        }
        names.takeLost();
        try (Arena arena = Arena.ofConfined()) {
            TreeTranslation translation =
                    new TreeTranslation(names, rules, hasFile(call) ? (int) line.number("fd") : -1);
            ReplayCall ready = new ReplayCall(line, call, ioctl, translation, arena, hint(line, call, file));
            if (names.takeLost()) {
                skipped++;
                follow(line, call, ioctl, -1, false);
                return;
            }
            if (wouldWait(line, call, file)) {
                compared++;
                differs(line, "answer", Comparison.answer(line.answer()), "the call would wait");
                return;
            }
            long answer = ready.issue(kernel);
            compared++;
            compare(line, call, ioctl, file, ready, translation, answer);
        }
    }

    /**
     * A free place for a mapping, as far from the start of a large page as the recorded one: the kernel chooses I/O
     * virtual addresses by that. 0 where the place is given, or does not matter.
     */
    private long hint(TraceLine line, Call call, Translation.@Nullable OpenFile file) {
        if (call != Call.MMAP
                || Linux.isError(line.answer())
                || (line.number("flags") & (Linux.MAP_FIXED | Linux.MAP_FIXED_NOREPLACE)) != 0
                || (file != null && !file.name().equals(Call.MEMFD_CREATE.text()))) {
            return 0;
        }
        long length = line.number("length") + LARGE_PAGE;
        long free = length <= LARGE_PAGE ? -1 : kernel.mmap(0, length, Linux.PROT_NONE, NOTHING, -1, 0);
        if (Linux.isError(free)) {
            return 0;
        }
        kernel.munmap(free, length);
        return free + ((line.answer() - free) & (LARGE_PAGE - 1));
    }

    private static boolean hasFile(Call call) {
        return call == Call.MMAP
                || (!call.parameters().isEmpty() && call.parameters().getFirst().name().equals("fd"));
    }

    private ReplayCall.Named named(TraceLine line) {
        String name = line.text("request");
        if (name.startsWith("0x")) {
            return new ReplayCall.Named((int) Values.number(name, "request"), null);
        }
        return ioctls.all().stream()
                .filter(ioctl -> ioctl.name().equals(name))
                .findFirst()
                .map(ioctl -> new ReplayCall.Named(ioctl.request(), ioctl))
                .orElseThrow(() -> new BadInputException("unknown ioctl '" + name + "'"));
    }

    /** Whether the record stands for the call. */
    private boolean isGivenBack(
            TraceLine line, Call call, ReplayCall.@Nullable Named ioctl, Translation.@Nullable OpenFile file) {
        if (file != null && file.recordedOnly()) {
            return true;
        }
        return switch (call) {
            case OPEN, READLINK -> !isKernelFile(line.text("path"));
            case IOCTL, IOCTL_VALUE -> {
                String name = Objects.requireNonNull(ioctl).name();
                yield name.equals("KVM_RUN") || (!options.sameDevices() && isDeviceQuery(name));
            }
            case READ, WRITE, GETDENTS64 ->
                (file != null && file.driven() && call == Call.READ) || line.answer() == -Errno.EFAULT;
            case PREAD, PWRITE ->
                line.answer() == -Errno.EFAULT || (!options.sameDevices() && isVfioDevice(file));
            case MMAP -> (!options.sameDevices() && isVfioDevice(file))
                    || ((line.number("flags") & (Linux.MAP_FIXED | Linux.MAP_FIXED_NOREPLACE)) != 0
                            && isAbsent(line.number("address")));
            case MUNMAP, MADVISE -> isAbsent(line.number("address"));
            case POLL -> Values.list(line.get("pollfds"), "pollfds").stream().anyMatch(this::isDriven);
            case TGKILL -> line.number("signal") != 0 && line.number("signal") < Linux.SIGRTMIN; // the JVM's own
            default -> false;
        };
    }

    /** Devices of the kernel; everything else is a matter of the machine. */
    private static boolean isKernelFile(String path) {
        return path.equals("/dev/kvm")
                || path.equals("/dev/iommu")
                || path.startsWith("/dev/vfio/")
                || path.equals("/dev/udmabuf")
                || path.equals("/dev/null");
    }

    private static boolean isDeviceQuery(String ioctl) {
        return ioctl.startsWith("VFIO_DEVICE_")
                && !ioctl.startsWith("VFIO_DEVICE_BIND")
                && !ioctl.startsWith("VFIO_DEVICE_ATTACH")
                && !ioctl.startsWith("VFIO_DEVICE_DETACH");
    }

    private static boolean isVfioDevice(Translation.@Nullable OpenFile file) {
        return file != null && (file.name().startsWith("/dev/vfio/devices/") || file.name().equals("vfio-device"));
    }

    /** Addresses that the replay has no mapping for; 0 is left to the kernel. */
    private boolean isAbsent(long address) {
        AddressMap.Mapping mapping = names.addresses().find(address);
        return address != 0 && (mapping == null || mapping.absent()) && address > 0 && address < 1L << 47;
    }

    private boolean isDriven(@Nullable Object pollfd) {
        Translation.OpenFile file = names.file((int) Values.number(Values.map(pollfd, "pollfds").get("fd"), "fd"));
        return file != null && (file.driven() || file.recordedOnly());
    }

    /** Whether a read or write that went through would wait now. */
    private boolean wouldWait(TraceLine line, Call call, Translation.@Nullable OpenFile file) {
        boolean transfer = call == Call.READ || call == Call.WRITE;
        if (!transfer || file == null || !file.name().equals(Call.EVENTFD.text()) || line.answer() <= 0) {
            return false;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment pollfd = arena.allocate(JAVA_LONG);
            int fd = names.descriptor((int) line.number("fd"));
            long wanted = call == Call.READ ? Linux.POLLIN : Linux.POLLOUT;
            pollfd.set(JAVA_LONG, 0, Integer.toUnsignedLong(fd) | wanted << 32);
            return kernel.poll(pollfd, 0) == 0;
        }
    }

    private void compare(
            TraceLine line,
            Call call,
            ReplayCall.@Nullable Named ioctl,
            Translation.@Nullable OpenFile file,
            ReplayCall ready,
            TreeTranslation translation,
            long answer) {
        long recorded = line.answer();
        Role role = answerRole(line, call, ioctl);
        boolean named = role.translated() && !Linux.isError(recorded) && !Linux.isError(answer);
        if (!named && recorded != answer && comparison().counts(role)) {
            lacks(line, call, answer);
            differs(line, FieldRules.ANSWER, Comparison.answer(recorded), Comparison.answer(answer));
        } else if (call == Call.IOCTL && !ready.argumentBefore().isEmpty()) {
            if (Objects.requireNonNull(ioctl).name().equals("VFIO_DEVICE_BIND_IOMMUFD") && answer >= 0) {
                bind(line, ready.recordedArgument()); // first: the ids that it gives out are of that context
            }
            compareArgument(line, Objects.requireNonNull(ioctl).name(), ready, translation);
        } else if (!call.isIoctl()) {
            compareOutputs(line, call, file, ready, translation, answer);
        }
        if (Linux.isError(recorded) && !Linux.isError(answer) && role == Role.DESCRIPTOR) {
            kernel.close((int) answer); // the trace does not know it
        }
        follow(line, call, ioctl, answer, false);
    }

    private Role answerRole(TraceLine line, Call call, ReplayCall.@Nullable Named ioctl) {
        if (ioctl != null) {
            return rules.answer(ioctl.name(), line.get("arg")).role();
        }
        boolean copies = call == Call.FCNTL
                && (line.number("command") == Linux.F_DUPFD || line.number("command") == Linux.F_DUPFD_CLOEXEC);
        return copies ? Role.DESCRIPTOR : call.answer();
    }

    private Comparison comparison() {
        return new Comparison(rules, options.sameDevices(), !guestRan);
    }

    private void lacks(TraceLine line, Call call, long answer) {
        boolean absent = answer == -Errno.ENOENT
                || answer == -Errno.EACCES
                || answer == -Errno.EPERM
                || answer == -Errno.ENODEV
                || answer == -Errno.ENXIO;
        if (options.mayLack() && call == Call.OPEN && line.answer() >= 0 && absent) {
            throw new MissingFeatureException(
                    "this host lacks what the trace needs: open " + line.text("path") + ": " + Comparison.answer(answer),
                    "use --kernel emulated");
        }
    }

    private void compareArgument(TraceLine line, String ioctl, ReplayCall ready, TreeTranslation translation) {
        Map<String, @Nullable Object> recordedBefore = ready.recordedArgument();
        Map<String, @Nullable Object> recorded = line.argumentAfter(recordedBefore);
        Map<String, @Nullable Object> before = ready.argumentBefore();
        Map<String, @Nullable Object> after = ready.argumentAfter();
        for (Map.Entry<String, @Nullable Object> field : after.entrySet()) {
            String name = field.getKey();
            Object value = field.getValue();
            boolean written = line.out().containsKey(name);
            if (!written && Objects.equals(value, before.get(name))) {
                continue;
            }
            Role role = rules.field(ioctl, name, recordedBefore).role();
            if (role.translated() && role != Role.DESCRIPTORS && written) {
                learn(role, (int) line.number("fd"), recorded.get(name), value, name);
            } else {
                comparison().fields(
                        ioctl,
                        name,
                        translation.tree(ioctl, name, recorded.get(name), recordedBefore),
                        value,
                        recordedBefore,
                        (path, was, is) -> differs(line, path, was, is));
            }
        }
    }

    /** Both kernels have given out a name for the same thing. */
    private void learn(Role role, int fd, @Nullable Object recorded, @Nullable Object replayed, String name) {
        int was = (int) Values.number(recorded, name);
        int is = (int) Values.number(replayed, name);
        if (role == Role.OBJECT) {
            names.object(fd, was, is);
        } else if (role == Role.DESCRIPTOR) {
            names.opened(was, is, new Translation.OpenFile(name, false));
        }
    }

    private void compareOutputs(
            TraceLine line,
            Call call,
            Translation.@Nullable OpenFile file,
            ReplayCall ready,
            TreeTranslation translation,
            long answer) {
        Map<String, @Nullable Object> out = ready.outputs(answer);
        for (Parameter parameter : call.parameters()) {
            String name = parameter.name();
            Object recorded = line.out().get(name);
            Object replayed = out.get(name);
            if (recorded == null || !comparison().counts(parameter.role())) {
                continue;
            }
            if (call == Call.PREAD && isVfioDevice(file)) {
                comparePci(line, Values.bytes(recorded, name), Values.bytes(replayed, name));
            } else {
                comparison().fields(
                        call.text(),
                        name,
                        translation.tree(call.text(), name, recorded, Map.of()),
                        replayed,
                        Map.of(),
                        (path, was, is) -> differs(line, path, was, is));
            }
        }
    }

    private void comparePci(TraceLine line, byte[] recorded, byte[] replayed) {
        long offset = line.number("offset");
        if (ConfigSpace.isMet(offset)
                && !Arrays.equals(ConfigSpace.compared(offset, recorded), ConfigSpace.compared(offset, replayed))) {
            differs(line, ConfigSpace.name(offset), hex(recorded), hex(replayed));
        }
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    /**
     * Keeps the books.
     *
     * @param answer of the replay; negative when the call was not made
     * @param recordedOnly whether the record stands for the call
     */
    private void follow(
            TraceLine line, Call call, ReplayCall.@Nullable Named ioctl, long answer, boolean recordedOnly) {
        long recorded = line.answer();
        if (Linux.isError(recorded)) {
            return;
        }
        switch (call) {
            case OPEN -> names.opened(recorded, answer, new Translation.OpenFile(line.text("path"), recordedOnly));
            case EVENTFD, MEMFD_CREATE -> names.opened(recorded, answer, new Translation.OpenFile(call.text(), recordedOnly));
            case CLOSE -> names.closed((int) line.number("fd"));
            case DUP -> copied(line, recorded, answer);
            case FCNTL -> {
                if (answerRole(line, call, null) == Role.DESCRIPTOR) {
                    copied(line, recorded, answer);
                }
            }
            case MMAP -> names.addresses().add(
                    recorded, pages(line.number("length")), Linux.isError(answer) ? AddressMap.ABSENT : answer);
            case MUNMAP -> names.addresses().remove(line.number("address"), pages(line.number("length")));
            case GETPID -> names.task((int) recorded, (int) answer);
            case GETTID -> {
                names.task((int) recorded, (int) answer);
                threads.number((int) recorded, line.text("thread"));
            }
            case IOCTL, IOCTL_VALUE -> followIoctl(line, Objects.requireNonNull(ioctl).name(), answer, recordedOnly);
            default -> {}
        }
    }

    private static long pages(long bytes) {
        return (bytes + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
    }

    private void copied(TraceLine line, long recorded, long answer) {
        Translation.OpenFile file = names.file((int) line.number("fd"));
        names.opened(recorded, answer, file == null ? new Translation.OpenFile("", false) : file);
    }

    private void followIoctl(TraceLine line, String ioctl, long answer, boolean recordedOnly) {
        if (rules.answer(ioctl, line.get("arg")).role() == Role.DESCRIPTOR) {
            names.opened(line.answer(), answer, new Translation.OpenFile(ioctl, recordedOnly));
        }
        if (!(line.get("arg") instanceof Map<?, ?>)) {
            return;
        }
        Map<String, @Nullable Object> argument = Values.map(line.get("arg"), "arg");
        switch (ioctl) {
            case "KVM_IOEVENTFD" -> names.drive((int) Values.number(argument.getOrDefault("fd", -1L), "fd"));
            case "KVM_IRQFD" -> names.drive((int) Values.number(argument.getOrDefault("resamplefd", -1L), "resamplefd"));
            case "VFIO_DEVICE_SET_IRQS" -> driveAll(argument);
            default -> {}
        }
    }

    private void bind(TraceLine line, Map<String, @Nullable Object> argument) {
        names.bind(
                (int) line.number("fd"), (int) Values.number(argument.getOrDefault("iommufd", -1L), "iommufd"));
    }

    private void driveAll(Map<String, @Nullable Object> argument) {
        if (rules.field("VFIO_DEVICE_SET_IRQS", "data", argument).role() == Role.DESCRIPTORS) {
            byte[] data = Values.bytes(argument.get("data"), "data");
            for (int at = 0; at < data.length; at += Integer.BYTES) {
                int fd = 0;
                for (int i = 0; i < Integer.BYTES && at + i < data.length; i++) {
                    fd |= Byte.toUnsignedInt(data[at + i]) << (8 * i);
                }
                names.drive(fd);
            }
        }
    }

    private void differs(TraceLine line, String field, String recorded, String replayed) {
        differences++;
        String request = line.get("request") instanceof String name ? " " + name : "";
        sink.accept(new Difference(line.number(), line.text("call") + request, line.file(), field, recorded, replayed));
    }

    /** Closes what the trace has left open. */
    @Override
    public void close() {
        threads.close();
        names.open().forEach(kernel::close);
        names.addresses().present().forEach(mapping -> kernel.munmap(mapping.replayed(), mapping.length()));
        kernel.munmap(nowhere, NOWHERE_BYTES);
    }
}
