// SPDX-License-Identifier: Apache-2.0
/** Locks of the kernel that are held for less time than it takes to put a thread to sleep and wake it up. */
@NullMarked
package dev.alcove.kernel.locking;

import org.jspecify.annotations.NullMarked;
