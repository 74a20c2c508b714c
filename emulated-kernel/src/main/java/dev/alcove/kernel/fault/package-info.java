// SPDX-License-Identifier: Apache-2.0
/** Fault injection: allocations that fail on purpose, by the kernel's own interfaces in procfs and debugfs. */
@NullMarked
package dev.alcove.kernel.fault;

import org.jspecify.annotations.NullMarked;
