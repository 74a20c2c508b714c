// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.lang.foreign.MemorySegment;

/**
 * What a driver tells user space about its hardware.
 *
 * @param type the form of the data, an {@code IOMMU_HW_INFO_TYPE_}
 * @param data a struct of that form
 */
public record HwInfo(int type, MemorySegment data) {}
