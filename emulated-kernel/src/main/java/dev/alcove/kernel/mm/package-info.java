// SPDX-License-Identifier: Apache-2.0
/** Physical memory, page stores, address spaces, pins. */
@NullMarked
package dev.alcove.kernel.mm;

import org.jspecify.annotations.NullMarked;
