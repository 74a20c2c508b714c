// SPDX-License-Identifier: Apache-2.0
/** The IOMMU that exists for tests only, with devices that make no DMA: those of Linux's IOMMUFD_TEST. */
@NullMarked
package dev.alcove.kernel.iommu.mock;

import org.jspecify.annotations.NullMarked;
