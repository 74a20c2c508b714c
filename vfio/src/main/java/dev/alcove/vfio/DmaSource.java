// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Hva;

/**
 * Where the memory of a RAM block comes from, for mapping it: an address of this process, and the file that is mapped
 * there, if there is one that the kernel can pin by itself.
 *
 * @param hva where the block begins in this process
 * @param file descriptor of its memfd or hugetlb file, or {@link #NO_FILE}
 * @param start where in that file the block begins, bytes
 */
public record DmaSource(long hva, int file, long start) {
    /** There is no such file. */
    public static final int NO_FILE = -1;

    /** Memory that is known by its address alone. */
    public static DmaSource of(Hva hva) {
        return new DmaSource(hva.value(), NO_FILE, 0);
    }

    /** Memory of a memfd; {@code IOMMU_IOAS_MAP_FILE} pins it without a look at this process' page tables. */
    public static DmaSource of(Hva hva, int file, long start) {
        return new DmaSource(hva.value(), file, start);
    }
}
