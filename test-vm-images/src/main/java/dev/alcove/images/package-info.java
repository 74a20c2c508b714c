// SPDX-License-Identifier: Apache-2.0
/** Guest programs for test VMs: PVH ELF images that run on Alcove and, where they need no page conversions, on QEMU. */
@NullMarked
package dev.alcove.images;

import org.jspecify.annotations.NullMarked;
