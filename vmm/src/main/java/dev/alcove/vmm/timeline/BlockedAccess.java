// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

/**
 * A page of DMA that the IOMMU refused.
 *
 * @param sequence counts all of a machine, from 0
 * @param iova first byte of the part that was refused
 * @param write whether the device wanted to write
 */
public record BlockedAccess(long sequence, long iova, boolean write) {}
