// SPDX-License-Identifier: Apache-2.0
/** Tests of conversions. */
@NullMarked
package dev.alcove.vmm.conversion;

import org.jspecify.annotations.NullMarked;
