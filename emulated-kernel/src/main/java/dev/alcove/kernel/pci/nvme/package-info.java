// SPDX-License-Identifier: Apache-2.0
/** An NVMe controller, as QEMU's: registers, queues, admin and NVM commands, namespaces over memory or a file. */
@NullMarked
package dev.alcove.kernel.pci.nvme;

import org.jspecify.annotations.NullMarked;
