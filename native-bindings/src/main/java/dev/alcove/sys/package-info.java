// SPDX-License-Identifier: Apache-2.0
/** The {@link dev.alcove.sys.Syscalls} seam: the system calls that Alcove makes, and what carries them out. */
@NullMarked
package dev.alcove.sys;

import org.jspecify.annotations.NullMarked;
