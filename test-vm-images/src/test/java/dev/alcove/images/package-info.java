// SPDX-License-Identifier: Apache-2.0
/** Tests of the guest programs that need no VMM of ours. */
@NullMarked
package dev.alcove.images;

import org.jspecify.annotations.NullMarked;
