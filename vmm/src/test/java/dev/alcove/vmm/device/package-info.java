// SPDX-License-Identifier: Apache-2.0
/** Tests of the device package. */
@NullMarked
package dev.alcove.vmm.device;

import org.jspecify.annotations.NullMarked;
