// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import dev.alcove.vfio.CutStrategy;
import dev.alcove.vfio.DmaSource;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioDmaMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * What conversions cost the IOMMU of a real kernel: the sequence of {@code conversions.c}, through the discard manager
 * and the mapper. Prints its lines: program, phase, microseconds, map ioctls, unmap ioctls; before them how many
 * milliseconds the JVM's compilers worked meanwhile, which the phases have in them where there is one processor.
 *
 * <p>Arguments: va or file, the address of a VFIO device, MiB, rounds; then a program with its arguments, which is run
 * after each round: machines change their speed from one minute to the next, so those that are compared take turns.
 */
public final class DeviceConversions {
    private static final long PAGE = 4096;
    private static final long PIECE = 2 << 20;
    private static final long BASE = 1L << 32;
    private static final long WARM_CONVERSIONS = 15_000;

    /**
     * A VMM that has run for a while: its code is compiled. The lab's only processor takes seconds to compile a method,
     * beside what is measured: a round counts when it has had next to nothing compiled.
     */
    private static final long QUIET_MILLIS = 50;

    /** With those that do not count; the last ones do in any case. */
    private static final int MOST_ROUNDS = 30;

    private final CompilationMXBean compilers = ManagementFactory.getCompilationMXBean();
    private final PrintStream out = System.out;
    private final Syscalls syscalls = new HostSyscalls();
    private final boolean byFile;
    private final PciAddress device;
    private final long bytes;

    private DeviceConversions(boolean byFile, PciAddress device, long bytes) {
        this.byFile = byFile;
        this.device = device;
        this.bytes = bytes;
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        List<String> list = List.of(arguments);
        new DeviceConversions(
                        list.get(0).equals("file"), PciAddress.parse(list.get(1)), Long.parseLong(list.get(2)) << 20)
                .run(Integer.parseInt(list.get(3)), list.subList(4, list.size()));
    }

    private void run(int rounds, List<String> peer) throws IOException, InterruptedException {
        int file = SyscallException.check(syscalls.memfdCreate("conversions", Linux.MFD_CLOEXEC), "memfd_create", "");
        SyscallException.check(syscalls.ftruncate(file, bytes), "ftruncate", "");
        long hva = syscalls.mmap(0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, file, 0);
        UserMappings.segment(hva, bytes).fill((byte) 1);
        DmaSource source = byFile ? DmaSource.of(new Hva(hva), file, 0) : DmaSource.of(new Hva(hva));
        int left = MOST_ROUNDS;
        while (round(source, WARM_CONVERSIONS).compiling >= QUIET_MILLIS && left > rounds) {
            left--;
        }
        for (int wanted = rounds; wanted > 0; left--) {
            Round round = round(source, bytes / PAGE / 100);
            if (round.compiling < QUIET_MILLIS || left <= wanted) {
                print(round);
                runPeer(peer);
                wanted--;
            }
        }
        syscalls.munmap(hva, bytes);
        syscalls.close(file);
    }

    private void print(Round round) {
        out.println("compiling " + round.compiling);
        for (Phase phase : round.phases) {
            out.println("alcove " + phase.name + " " + phase.micros + " " + phase.maps + " " + phase.unmaps);
        }
    }

    private static void runPeer(List<String> peer) throws IOException, InterruptedException {
        if (!peer.isEmpty() && new ProcessBuilder(peer).inheritIO().start().waitFor() != 0) {
            throw new IllegalStateException(peer + " failed");
        }
    }

    private Round round(DmaSource source, long conversions) {
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            CutStrategy cut = CutStrategy.prepare(ioas);
            try (VfioDevice edu = VfioDevice.open(syscalls, device)) {
                edu.bind(iommu);
                edu.attach(ioas);
                Round round;
                try (VfioDmaMapper mapper = new VfioDmaMapper(cut, bytes)) {
                    long since = waitForCompilers();
                    Phases phases = convert(mapper, source, conversions);
                    round = new Round(phases.ended, waitForCompilers() - since);
                }
                edu.detach();
                return round;
            }
        }
    }

    private Phases convert(VfioDmaMapper mapper, DmaSource source, long conversions) {
        RamDiscardManager discards = new RamDiscardManager(bytes);
        PopulatedRanges shared = new PopulatedRanges(bytes, PAGE, false);
        done(discards.addSource(shared));
        done(mapper.add(discards, new Iova(BASE), source));
        long pages = bytes / PAGE;
        Phases phases = new Phases(mapper);
        for (long offset = 0; offset < bytes; offset += PIECE) {
            populate(discards, shared, offset, PIECE);
        }
        phases.end("share");
        for (long n = 0; n < conversions; n++) {
            long offset = Long.remainderUnsigned(n * 2654435761L, pages) * PAGE;
            discard(discards, shared, offset, PAGE);
            populate(discards, shared, offset, PAGE);
        }
        phases.end("pages");
        for (long offset = 0; offset < bytes; offset += PIECE) {
            discard(discards, shared, offset, PIECE);
        }
        phases.end("private");
        return phases;
    }

    private static void populate(RamDiscardManager discards, PopulatedRanges shared, long offset, long length) {
        shared.populate(offset, length);
        done(discards.notifyPopulate(shared, offset, length));
    }

    private static void discard(RamDiscardManager discards, PopulatedRanges shared, long offset, long length) {
        done(discards.notifyDiscard(shared, offset, length));
        shared.discard(offset, length);
    }

    private static void done(Outcome outcome) {
        if (!outcome.isDone()) {
            throw new IllegalStateException(outcome.toString());
        }
    }

    /** Returns when nothing has been compiled for half a second: milliseconds that compilers have worked so far. */
    private long waitForCompilers() {
        long before = -1;
        long now = compilers.getTotalCompilationTime();
        while (now != before) {
            before = now;
            LockSupport.parkNanos(500_000_000);
            now = compilers.getTotalCompilationTime();
        }
        return now;
    }

    /** What its phases took, and milliseconds that compilers worked meanwhile. */
    private record Round(List<Phase> phases, long compiling) {}

    private record Phase(String name, long micros, long maps, long unmaps) {}

    /** Time and ioctls of each phase. */
    private static final class Phases {
        private final List<Phase> ended = new ArrayList<>();
        private final VfioDmaMapper mapper;
        private long since = System.nanoTime();
        private long maps;
        private long unmaps;

        Phases(VfioDmaMapper mapper) {
            this.mapper = mapper;
        }

        void end(String name) {
            long now = System.nanoTime();
            long mapsNow = mapper.counters().mapIoctls();
            long unmapsNow = mapper.counters().unmapIoctls();
            ended.add(new Phase(name, (now - since) / 1000, mapsNow - maps, unmapsNow - unmaps));
            maps = mapsNow;
            unmaps = unmapsNow;
            since = System.nanoTime();
        }
    }
}
