// SPDX-License-Identifier: Apache-2.0
/** Who calls the kernel: processes, threads, credentials, limits, signals, and their memory as the kernel sees it. */
@NullMarked
package dev.alcove.kernel.task;

import org.jspecify.annotations.NullMarked;
