// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/**
 * What a machine of 1 TiB costs the host: 512 MiB of it are touched and mapped for a device, in pieces at random places.
 * Resident memory is what the process has more than before, the emulated kernel's own books and the host's page tables
 * included; each page counts once, however often it is mapped (Pss).
 *
 * <p>{@code benchmarks/run --main ResidentMemory 2097152}, with the size of a piece in bytes. A process measures one
 * size, because memory that a JVM has taken once it does not give back.
 */
public final class ResidentMemory {
    private static final long TIB = 1L << 40;
    private static final long TOUCHED = 512 << 20;
    private static final long IOVA = 1L << 32;
    private static final long SEED = 7;

    private ResidentMemory() {}

    /** Prints one line. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("one argument: the size of a piece in bytes, a power of two from 4096");
        }
        System.out.printf("%-13s %14s %14s %14s %8s%n", "piece", "touched", "pages + books", "page tables", "ratio");
        measure(Long.parseLong(arguments[0]));
    }

    private static void measure(long piece) throws IOException {
        try (EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
                EmulatedProcess process = kernel.process();
                IommuFd iommu = IommuFd.open(process)) {
            IommufdContext context = kernel.iommufd().contexts().getLast();
            Ioas ioas = iommu.ioasAlloc();
            long device = context.bindDevice(kernel.iommu().newGroup().addDevice(0x10));
            if (context.attach(device, 0, ioas.id()) < 0) {
                throw new IllegalStateException("the device cannot be attached");
            }
            long memory = process.mmap(
                    0,
                    TIB,
                    Linux.PROT_READ | Linux.PROT_WRITE,
                    Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_NORESERVE,
                    -1,
                    0);
            MemorySegment all = UserMappings.segment(memory, TIB);
            long before = resident();
            long tablesBefore = tables();
            long pieces = TOUCHED / piece;
            Random random = new Random(SEED);
            for (long index = 0; index < pieces; index++) {
                // Each in its own part of the memory, somewhere in it.
                long part = TIB / pieces;
                long at = index * part + (part == piece ? 0 : random.nextLong(part / piece) * piece);
                for (long offset = 0; offset < piece; offset += Linux.PAGE_SIZE) {
                    all.set(ValueLayout.JAVA_BYTE, at + offset, (byte) 1);
                }
                ioas.map(memory + at, IOVA + at, piece, Ioas.READ | Ioas.WRITE);
            }
            long tables = tables() - tablesBefore;
            long taken = resident() - before;
            System.out.printf(
                    "%9d KiB %10d MiB %10.0f MiB %10.0f MiB %8.2f%n",
                    piece >> 10, TOUCHED >> 20, taken / 1048576.0, tables / 1048576.0, (taken + tables) / (double) TOUCHED);
            context.detach(device, 0);
            context.unbind(device);
        }
    }

    private static long resident() throws IOException {
        System.gc();
        return field(Path.of("/proc/self/smaps_rollup"), "Pss:");
    }

    private static long tables() throws IOException {
        return field(Path.of("/proc/self/status"), "VmPTE:");
    }

    /** A line of kilobytes, as bytes. */
    private static long field(Path file, String name) throws IOException {
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith(name)) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
            }
        }
        throw new IOException(file + " has no " + name);
    }
}
