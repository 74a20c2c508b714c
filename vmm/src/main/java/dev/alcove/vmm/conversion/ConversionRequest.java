// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import java.util.Optional;

/**
 * A guest wants a range to be private, or shared.
 *
 * @param range whole pages
 * @param toPrivate the wanted state
 */
public record ConversionRequest(GpaRange range, boolean toPrivate) {
    static final long PAGE = 4096;

    /** Bits 0 to 3 of the hypercall's attributes: the page size that the guest has in mind, 0 to 2. */
    private static final long PAGE_SIZE_MASK = 0xf;
    /** KVM_MAP_GPA_RANGE_ENCRYPTED. */
    private static final long ENCRYPTED = 1 << 4;

    /** Largest page size that KVM defines: 0 is 4 KiB, 1 is 2 MiB, 2 is 1 GiB. */
    private static final long LARGEST_PAGE_SIZE = 2;

    /** Checks the alignment. */
    public ConversionRequest {
        if (!range.isAligned(PAGE)) {
            throw new IllegalArgumentException("not whole pages: " + range);
        }
    }

    /**
     * Reads the arguments of KVM_HC_MAP_GPA_RANGE (Documentation/virt/kvm/x86/hypercalls.rst).
     *
     * @param gpa first argument
     * @param pages second argument: how many pages of 4096 bytes
     * @param attributes third argument
     * @return empty where the range is no range of whole pages, or a bit is not known
     */
    public static Optional<ConversionRequest> ofHypercall(long gpa, long pages, long attributes) {
        if ((attributes & ~(PAGE_SIZE_MASK | ENCRYPTED)) != 0
                || (attributes & PAGE_SIZE_MASK) > LARGEST_PAGE_SIZE
                || pages <= 0
                || pages > Long.MAX_VALUE / PAGE) {
            return Optional.empty();
        }
        return GpaRange.aligned(gpa, pages * PAGE, PAGE)
                .map(range -> new ConversionRequest(range, isToPrivate(attributes)));
    }

    /** What the third argument of KVM_HC_MAP_GPA_RANGE asks for. */
    public static boolean isToPrivate(long attributes) {
        return (attributes & ENCRYPTED) != 0;
    }

    @Override
    public String toString() {
        return range + (toPrivate ? " to private" : " to shared");
    }
}
