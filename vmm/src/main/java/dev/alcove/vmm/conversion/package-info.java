// SPDX-License-Identifier: Apache-2.0
/** Conversions of guest memory between private and shared: planned, executed in order, undone when a part fails. */
@NullMarked
package dev.alcove.vmm.conversion;

import org.jspecify.annotations.NullMarked;
