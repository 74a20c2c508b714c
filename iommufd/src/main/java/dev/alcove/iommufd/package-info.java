// SPDX-License-Identifier: Apache-2.0
/** Typed client of {@code /dev/iommu}: one class per kernel object, one method per ioctl. */
@NullMarked
package dev.alcove.iommufd;

import org.jspecify.annotations.NullMarked;
