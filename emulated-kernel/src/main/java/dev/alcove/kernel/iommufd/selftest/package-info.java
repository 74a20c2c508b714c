// SPDX-License-Identifier: Apache-2.0
/** IOMMU_TEST_CMD: the ioctl of /dev/iommu that only a kernel with IOMMUFD_TEST has, for the kernel's own tests. */
@NullMarked
package dev.alcove.kernel.iommufd.selftest;

import org.jspecify.annotations.NullMarked;
