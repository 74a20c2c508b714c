// SPDX-License-Identifier: Apache-2.0
/** Typed client of VFIO devices, and the DMA mapper that follows the discard manager. */
@NullMarked
package dev.alcove.vfio;

import org.jspecify.annotations.NullMarked;
