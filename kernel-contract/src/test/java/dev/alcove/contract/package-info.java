// SPDX-License-Identifier: Apache-2.0
/** What every kernel behind the seam must do, tested against the host's and the emulated one alike. */
@NullMarked
package dev.alcove.contract;

import org.jspecify.annotations.NullMarked;
