// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/**
 * One page of DMA that was refused.
 *
 * @param sequence counts all faults of the machine, from 0
 * @param requesterId who
 * @param iova first byte of the part that was refused
 * @param write whether the device wanted to write
 */
public record IommuFault(long sequence, int requesterId, long iova, boolean write, Reason reason) {
    /** Why. */
    public enum Reason {
        /** The device's group has no domain. */
        NO_DOMAIN,
        /** The address is wider than the page table. */
        BEYOND_APERTURE,
        /** No translation. */
        NOT_PRESENT,
        /** The translation lacks the read right. */
        NOT_READABLE,
        /** The translation lacks the write right. */
        NOT_WRITABLE
    }
}
