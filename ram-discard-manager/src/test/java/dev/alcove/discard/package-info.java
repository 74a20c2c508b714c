// SPDX-License-Identifier: Apache-2.0
/** Tests of who may use which part of a RAM block. */
@NullMarked
package dev.alcove.discard;

import org.jspecify.annotations.NullMarked;
