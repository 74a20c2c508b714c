// SPDX-License-Identifier: Apache-2.0
/** Tests of the PCI functions where a real kernel's device would end the emulator instead of answering. */
@NullMarked
package dev.alcove.kernel.pci;

import org.jspecify.annotations.NullMarked;
