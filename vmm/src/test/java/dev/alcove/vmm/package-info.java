// SPDX-License-Identifier: Apache-2.0
/** Tests of whole machines. */
@NullMarked
package dev.alcove.vmm;

import org.jspecify.annotations.NullMarked;
