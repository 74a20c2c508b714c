// SPDX-License-Identifier: Apache-2.0
/** The guest's memory: RAM blocks, the guest physical address space, memslots, and what lies behind a block. */
@NullMarked
package dev.alcove.memory;

import org.jspecify.annotations.NullMarked;
