// SPDX-License-Identifier: Apache-2.0
/**
 * Which parts of a RAM block may be used by whom: populated (shared) or discarded (private), who is told about a
 * change, and what happens when one of them refuses. Also the value types of addresses, because everything above
 * needs them and this module depends on nothing.
 */
@NullMarked
package dev.alcove.discard;

import org.jspecify.annotations.NullMarked;
