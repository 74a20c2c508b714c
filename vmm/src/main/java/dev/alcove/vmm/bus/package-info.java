// SPDX-License-Identifier: Apache-2.0
/** The buses that carry a guest's port and memory-mapped I/O to the device models. */
@org.jspecify.annotations.NullMarked
package dev.alcove.vmm.bus;
