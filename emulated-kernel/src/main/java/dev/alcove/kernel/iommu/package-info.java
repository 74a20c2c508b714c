// SPDX-License-Identifier: Apache-2.0
/** The machine's IOMMU: domains and their page tables, the IOTLB of each device, DMA, fault records. */
@NullMarked
package dev.alcove.kernel.iommu;

import org.jspecify.annotations.NullMarked;
