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
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;

/**
 * What conversions cost the IOMMU of a real kernel: the sequence of {@code conversions.c}, through the discard manager
 * and the mapper. Prints its lines: program, phase, microseconds, map ioctls, unmap ioctls.
 *
 * <p>Arguments: va or file, the address of a VFIO device, MiB, rounds.
 */
public final class DeviceConversions {
    private static final long PAGE = 4096;
    private static final long PIECE = 2 << 20;
    private static final long BASE = 1L << 32;
    private static final long WARM_BYTES = 64 << 20;
    /** A VMM that has run for a while: its code is compiled. */
    private static final long WARM_CONVERSIONS = 15_000;

    private final PrintStream out = System.out;
    private final Syscalls syscalls = new HostSyscalls();
    private final boolean byFile;
    private final PciAddress device;

    private DeviceConversions(boolean byFile, PciAddress device) {
        this.byFile = byFile;
        this.device = device;
    }

    public static void main(String[] arguments) {
        DeviceConversions peer = new DeviceConversions(arguments[0].equals("file"), PciAddress.parse(arguments[1]));
        long bytes = Long.parseLong(arguments[2]) << 20;
        peer.run(WARM_BYTES, WARM_CONVERSIONS, 2, false);
        peer.run(bytes, bytes / PAGE / 100, Integer.parseInt(arguments[3]), true);
    }

    private void run(long bytes, long conversions, int rounds, boolean print) {
        for (int round = 0; round < rounds; round++) {
            int file = SyscallException.check(syscalls.memfdCreate("conversions", Linux.MFD_CLOEXEC), "memfd_create", "");
            SyscallException.check(syscalls.ftruncate(file, bytes), "ftruncate", "");
            long hva = syscalls.mmap(0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, file, 0);
            MemorySegment memory = UserMappings.segment(hva, bytes);
            memory.fill((byte) 1);
            try (IommuFd iommu = IommuFd.open(syscalls);
                    Ioas ioas = iommu.ioasAlloc()) {
                CutStrategy cut = CutStrategy.prepare(ioas);
                try (VfioDevice edu = VfioDevice.open(syscalls, device)) {
                    edu.bind(iommu);
                    edu.attach(ioas);
                    try (VfioDmaMapper mapper = new VfioDmaMapper(cut, bytes)) {
                        DmaSource source = byFile ? DmaSource.of(new Hva(hva), file, 0) : DmaSource.of(new Hva(hva));
                        convert(mapper, source, bytes, conversions, print);
                    }
                    edu.detach();
                }
            }
            syscalls.munmap(hva, bytes);
            syscalls.close(file);
        }
    }

    private void convert(VfioDmaMapper mapper, DmaSource source, long bytes, long conversions, boolean print) {
        RamDiscardManager discards = new RamDiscardManager(bytes);
        PopulatedRanges shared = new PopulatedRanges(bytes, PAGE, false);
        done(discards.addSource(shared));
        done(mapper.add(discards, new Iova(BASE), source));
        long pages = bytes / PAGE;
        Phase phase = new Phase(mapper, print);
        for (long offset = 0; offset < bytes; offset += PIECE) {
            populate(discards, shared, offset, PIECE);
        }
        phase.end("share");
        for (long n = 0; n < conversions; n++) {
            long offset = Long.remainderUnsigned(n * 2654435761L, pages) * PAGE;
            discard(discards, shared, offset, PAGE);
            populate(discards, shared, offset, PAGE);
        }
        phase.end("pages");
        for (long offset = 0; offset < bytes; offset += PIECE) {
            discard(discards, shared, offset, PIECE);
        }
        phase.end("private");
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

    /** Time and ioctls since the last one ended. */
    private final class Phase {
        private final VfioDmaMapper mapper;
        private final boolean print;
        private long since = System.nanoTime();
        private long maps;
        private long unmaps;

        Phase(VfioDmaMapper mapper, boolean print) {
            this.mapper = mapper;
            this.print = print;
        }

        void end(String name) {
            long micros = (System.nanoTime() - since) / 1000;
            long mapsNow = mapper.counters().mapIoctls();
            long unmapsNow = mapper.counters().unmapIoctls();
            if (print) {
                out.println("alcove " + name + " " + micros + " " + (mapsNow - maps) + " " + (unmapsNow - unmaps));
            }
            maps = mapsNow;
            unmaps = unmapsNow;
            since = System.nanoTime();
        }
    }
}
