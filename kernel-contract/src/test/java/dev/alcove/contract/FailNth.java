// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.sys.RetriedSyscalls;
import dev.alcove.sys.Syscalls;

/**
 * Every call of a test fails at each of its allocations in turn before it may succeed (system property
 * {@code alcove.fail-nth=on}): a test passes as ever, if a failure leaves everything as it was.
 */
final class FailNth {
    private static final String PROPERTY = "alcove.fail-nth";

    private FailNth() {}

    /** Whether that is asked for. */
    static boolean isOn() {
        return "on".equals(System.getProperty(PROPERTY));
    }

    /** The calls of a process, each of which fails first; {@code alcove.fail-nth.trace=true} prints the failures. */
    static Syscalls on(EmulatedKernel kernel, Syscalls process) {
        boolean trace = Boolean.getBoolean(PROPERTY + ".trace");
        RetriedSyscalls.spareNothing(process);
        return RetriedSyscalls.of(process, (call, nth, answer) -> {
            if (trace) {
                System.err.println(call + " without " + kernel.faults().failed(process.gettid()) + ": " + answer);
            }
        });
    }
}
