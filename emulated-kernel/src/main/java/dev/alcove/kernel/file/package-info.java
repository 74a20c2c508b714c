// SPDX-License-Identifier: Apache-2.0
/** Open files, descriptors, paths. */
@NullMarked
package dev.alcove.kernel.file;

import org.jspecify.annotations.NullMarked;
