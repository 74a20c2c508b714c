// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.sys.Linux;
import java.util.Locale;

/**
 * One page of DMA that was refused.
 *
 * @param sequence counts all faults of the machine, from 0
 * @param requesterId who
 * @param iova first byte of the part that was refused
 * @param write whether the device wanted to write
 */
public record IommuFault(long sequence, int requesterId, long iova, boolean write, Reason reason) {
    /** As Linux prints what a VT-d has recorded, without {@code DMAR: } before it. */
    public String line() {
        return String.format(
                Locale.ROOT,
                "[DMA %s NO_PASID] Request device [0000:%02x:%02x.%x] fault addr 0x%x [fault reason 0x%02x] %s",
                write ? "Write" : "Read",
                requesterId >>> 8,
                (requesterId >>> 3) & 0x1f,
                requesterId & 7,
                iova & -Linux.PAGE_SIZE,
                code(),
                text());
    }

    /** VT-d's fault reason. It does not tell a page that is not there from one without the right. */
    public int code() {
        return switch (reason) {
            case NO_DOMAIN -> 2;
            case BEYOND_APERTURE -> 4;
            case NOT_PRESENT, NOT_READABLE, NOT_WRITABLE -> write ? 5 : 6;
        };
    }

    private String text() {
        return switch (code()) {
            case 2 -> "Present bit in context entry is clear";
            case 4 -> "Access beyond MGAW";
            case 5 -> "PTE Write access is not set";
            default -> "PTE Read access is not set";
        };
    }

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
