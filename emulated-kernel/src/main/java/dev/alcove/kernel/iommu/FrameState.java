// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** What a page of DMA hit. */
public enum FrameState {
    /** Memory that the kernel keeps for DMA: it is pinned. */
    SHARED,
    /** Guest memory that is private. */
    PRIVATE,
    /** Memory that it does not keep, or not any more: whoever has it now is hit. */
    FREED,
    /** Nothing: the IOMMU refused. */
    HOLE,
    /** Registers of another device. */
    REGISTERS
}
