// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What a run did, in numbers. The components are the fields of the JSON report, in its order.
 *
 * @param instructions that guests executed, where the kernel counts them
 * @param dma what assigned devices transferred, where the kernel counts it
 * @param timeline null where the machine never ran
 */
public record RunReport(
        Kernel kernel,
        String coco,
        Exit exit,
        @Nullable Long instructions,
        long wallMillis,
        Memory memory,
        Conversions conversions,
        Iommu iommu,
        @Nullable Dma dma,
        Invariants invariants,
        @Nullable Timeline timeline) {
    /** A report that was read from somewhere may lack a part. */
    public RunReport {
        Objects.requireNonNull(kernel, "no kernel");
        Objects.requireNonNull(coco, "no coco");
        Objects.requireNonNull(exit, "no exit");
        Objects.requireNonNull(memory, "no memory");
        Objects.requireNonNull(conversions, "no conversions");
        Objects.requireNonNull(iommu, "no iommu");
        Objects.requireNonNull(invariants, "no invariants");
    }

    /**
     * The kernel under the VMM.
     *
     * @param kind {@code linux} or {@code emulated}
     * @param release as uname(2) says
     */
    public record Kernel(String kind, String release) {}

    /**
     * The end.
     *
     * @param reason one line
     * @param status the exit status of the command
     */
    public record Exit(String reason, int status) {}

    /**
     * The guest's memory in bytes, as it was at the end; null is what the kernel cannot tell.
     *
     * @param residentShared what the shared side takes of the host's memory
     * @param residentPrivate what the private side takes; Linux up to 7.2 does not count it
     * @param pinned for devices, of the whole process
     */
    public record Memory(
            long bytes,
            long sharedBytes,
            long privateBytes,
            @Nullable Long residentShared,
            @Nullable Long residentPrivate,
            @Nullable Long pinned) {}

    /**
     * Conversions that the guest asked for.
     *
     * @param toShared requests that were carried out
     * @param toPrivate requests that were carried out
     * @param bytes that changed hands in both directions
     * @param failed requests that were refused or failed
     */
    public record Conversions(long toShared, long toPrivate, long bytes, long failed) {}

    /**
     * The IOMMU's part.
     *
     * @param strategy {@code cut}, {@code page}, or {@code none} without a device
     * @param mappedBytes in reach of the device at the end
     */
    public record Iommu(String strategy, long mapIoctls, long unmapIoctls, long mappedBytes) {
        /** A machine without a device. */
        public static Iommu none() {
            return new Iommu("none", 0, 0, 0);
        }
    }

    /**
     * Transfers of assigned devices: those that went through, and those that the IOMMU blocked; and pages, by what was hit.
     *
     * @param sharedPages memory that the kernel keeps for DMA
     * @param privatePages private guest memory: none where all is well
     * @param freedPages memory that is somebody else's by now: none where all is well
     * @param holePages nothing, because it was blocked
     */
    public record Dma(
            long completed, long blocked, long sharedPages, long privatePages, long freedPages, long holePages) {}

    /** Runs of the invariant checker, and what it found. */
    public record Invariants(long checks, long violations) {}

    /**
     * The guest's memory over time.
     *
     * @param rows pieces of RAM, ascending by address
     * @param columns samples, ascending by time
     * @param blockedDma that the IOMMU refused, the first of it; empty on a kernel that does not tell
     * @param blockedDmaNotShown pages of DMA that were refused besides
     */
    public record Timeline(
            List<Row> rows, List<Column> columns, List<BlockedDma> blockedDma, long blockedDmaNotShown) {
        public Timeline {
            rows = List.copyOf(rows);
            columns = List.copyOf(columns);
            blockedDma = List.copyOf(blockedDma);
        }
    }

    /**
     * A piece of RAM, whole pages.
     *
     * @param changes whether any of it changed between two samples
     */
    public record Row(long gpa, long bytes, boolean changes) {}

    /**
     * A sample, taken while no conversion ran.
     *
     * @param micros since the machine started
     * @param mappedBytes in reach of devices
     * @param toShared conversions to shared so far, those of the VMM at the start too
     * @param toPrivate conversions to private so far
     * @param failed conversions that were refused so far
     * @param shared of each row, in thousandths; 0 is nothing and 1000 all of it
     * @param mapped of each row, in thousandths
     */
    public record Column(
            long micros,
            long sharedBytes,
            long privateBytes,
            long mappedBytes,
            long toShared,
            long toPrivate,
            long failed,
            List<Integer> shared,
            List<Integer> mapped) {
        public Column {
            shared = List.copyOf(shared);
            mapped = List.copyOf(mapped);
        }
    }

    /**
     * A page of DMA that the IOMMU refused.
     *
     * @param micros when it was noticed: at the next sample
     * @param iova first byte of the part that was refused
     * @param write whether the device wanted to write
     */
    public record BlockedDma(long micros, long iova, boolean write) {}
}
