// SPDX-License-Identifier: Apache-2.0
/** Buffers that devices share. */
@NullMarked
package dev.alcove.kernel.dmabuf;

import org.jspecify.annotations.NullMarked;
