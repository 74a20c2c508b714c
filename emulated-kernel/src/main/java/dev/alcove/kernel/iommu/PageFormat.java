// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/**
 * The form of a domain's page table, whose tables have 512 entries each.
 *
 * @param pageShift the smallest page is {@code 1 << pageShift} bytes
 * @param levels tables between the root and the smallest page, both included
 * @param pageSizes the sizes of pages, one bit each; a size between those of two levels takes several entries side by side
 * @param first the first IOVA of the aperture
 * @param last the last IOVA of the aperture
 */
public record PageFormat(int pageShift, int levels, long pageSizes, long first, long last) {
    /** Bits of an address that one level decodes. */
    static final int LEVEL_BITS = 9;

    /** VT-d's second stage: four levels, entries of 4 KiB, 2 MiB and 1 GiB. */
    static final PageFormat VTD = new PageFormat(12, 4, 1L << 12 | 1L << 21 | 1L << 30, 0, (1L << 48) - 1);

    /** The same table with other sizes of pages. */
    public PageFormat withPageSizes(long sizes) {
        return new PageFormat(pageShift, levels, sizes, first, last);
    }

    /** The same table with another aperture. */
    public PageFormat withAperture(long from, long to) {
        return new PageFormat(pageShift, levels, pageSizes, from, to);
    }

    /** Bytes of the smallest page that may be used. */
    public long smallestPage() {
        return Long.lowestOneBit(pageSizes);
    }
}
