// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.jspecify.annotations.Nullable;

/** Gives up an instruction without a trace, to be executed again. One per processor. */
@SuppressWarnings("serial")
final class Leave extends RuntimeException {
    /** Why to leave {@link Cpu#run}; null to execute the instruction again in a block of its own. */
    @Nullable CpuExit exit;

    Leave() {
        super(null, null, false, false);
    }
}
