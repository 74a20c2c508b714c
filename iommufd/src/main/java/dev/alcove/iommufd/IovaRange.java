// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

/**
 * I/O virtual addresses, both ends included ({@code struct iommu_iova_range}); unsigned.
 *
 * @param start first address
 * @param last last address
 */
public record IovaRange(long start, long last) {
    /** Whether all of {@code [iova, iova + length)} is inside; {@code length} is not 0. */
    public boolean contains(long iova, long length) {
        long end = iova + length - 1;
        return Long.compareUnsigned(iova, end) <= 0
                && Long.compareUnsigned(start, iova) <= 0
                && Long.compareUnsigned(end, last) <= 0;
    }

    @Override
    public String toString() {
        return "[0x" + Long.toHexString(start) + ", 0x" + Long.toHexString(last) + "]";
    }
}
