// SPDX-License-Identifier: Apache-2.0
/** {@code alcove explore}: many interleavings of a small virtual machine under a storm of conversions, all checked. */
@NullMarked
package dev.alcove.explore;

import org.jspecify.annotations.NullMarked;
