// SPDX-License-Identifier: Apache-2.0
/** The virtual machine monitor: builds a machine, runs its vCPUs, and says how it ended. */
@org.jspecify.annotations.NullMarked
package dev.alcove.vmm;
