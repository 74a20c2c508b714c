// SPDX-License-Identifier: Apache-2.0
/** Tests of the bus package. */
@NullMarked
package dev.alcove.vmm.bus;

import org.jspecify.annotations.NullMarked;
