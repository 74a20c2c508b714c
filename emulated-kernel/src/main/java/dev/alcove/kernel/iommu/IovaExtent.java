// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/**
 * IOVAs that a domain maps with the same rights, without a hole.
 *
 * @param iova first byte, page aligned
 * @param pages length
 * @param rights {@link IommuDomain#READ} and {@link IommuDomain#WRITE}
 */
public record IovaExtent(long iova, long pages, int rights) {}
