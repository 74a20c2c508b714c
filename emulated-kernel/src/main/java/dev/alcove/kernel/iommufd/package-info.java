// SPDX-License-Identifier: Apache-2.0
/** The file /dev/iommu: I/O address spaces, their areas and pages, page tables, devices. */
@NullMarked
package dev.alcove.kernel.iommufd;

import org.jspecify.annotations.NullMarked;
