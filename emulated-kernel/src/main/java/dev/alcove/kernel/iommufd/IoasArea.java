// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/**
 * One area of an I/O address space, as an inspection sees it.
 *
 * @param iova first byte
 * @param last last byte
 * @param rights of the device: {@link dev.alcove.kernel.iommu.IommuDomain#READ} and WRITE
 */
public record IoasArea(long iova, long last, int rights) {}
