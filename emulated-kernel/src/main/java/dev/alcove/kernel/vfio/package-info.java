// SPDX-License-Identifier: Apache-2.0
/** The vfio-pci driver of the emulated kernel: {@code /dev/vfio/devices/vfioN}. */
@NullMarked
package dev.alcove.kernel.vfio;

import org.jspecify.annotations.NullMarked;
