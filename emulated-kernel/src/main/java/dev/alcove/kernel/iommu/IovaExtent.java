// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.sys.Linux;

/**
 * IOVAs that a domain maps with the same rights, without a hole.
 *
 * @param iova first byte
 * @param length bytes
 * @param rights {@link IommuDomain#READ} and {@link IommuDomain#WRITE}
 */
public record IovaExtent(long iova, long length, int rights) {
    /** Whole pages of 4 KiB; only a domain with smaller pages maps parts of one. */
    public long pages() {
        return length >>> Linux.PAGE_SHIFT;
    }
}
