// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import org.jspecify.annotations.Nullable;

/**
 * What a run did, in numbers. The components are the fields of the JSON report, in its order.
 *
 * @param instructions that guests executed, where the kernel counts them
 * @param dma what assigned devices transferred, where the kernel counts it
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
        Invariants invariants) {

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

    /** The guest's memory in bytes, as it was at the end. */
    public record Memory(long bytes, long sharedBytes, long privateBytes) {}

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
}
