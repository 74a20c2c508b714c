// SPDX-License-Identifier: Apache-2.0
/**
 * The vfio-pci driver of the emulated kernel: {@code /dev/vfio/devices/vfioN} with iommufd, and the older way through
 * {@code /dev/vfio/N} for a group and {@code /dev/vfio/vfio} for a container.
 */
@NullMarked
package dev.alcove.kernel.vfio;

import org.jspecify.annotations.NullMarked;
