// SPDX-License-Identifier: Apache-2.0
/** The PCI functions of the emulated machine: configuration space, BARs, interrupts, reset, device models. */
@NullMarked
package dev.alcove.kernel.pci;

import org.jspecify.annotations.NullMarked;
