// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.sys.Linux;
import dev.alcove.sys.RetriedSyscalls;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;

import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * Every call of a test fails at each of its allocations in turn before it may succeed (system property
 * {@code alcove.fail-nth=on}): a test passes as ever, if a failure leaves everything as it was.
 */
final class FailNth {
    /** Settings under which every allocation is one that can fail. */
    private static final List<String> UNSPARED = List.of(
            "failslab/ignore-gfp-wait=N",
            "fail_page_alloc/ignore-gfp-wait=N",
            "fail_page_alloc/ignore-gfp-highmem=N",
            "fail_page_alloc/min-order=0");

    static final LongAdder FAILURES = new LongAdder();

    private FailNth() {}

    static Syscalls on(EmulatedKernel kernel, Syscalls process) {
        UNSPARED.forEach(setting -> set(process, setting));
        return RetriedSyscalls.of(process, (call, nth, answer) -> {
            FAILURES.increment();
            if (answer >= 0 && Boolean.getBoolean("alcove.fail-nth.trace")) {
                System.err.println(call + " " + nth + " " + kernel.faults().failed(process.gettid()) + " -> " + answer);
            }
        });
    }

    private static void set(Syscalls sys, String setting) {
        String[] parts = setting.split("=", 2);
        int fd = sys.open("/sys/kernel/debug/" + parts[0], Linux.O_WRONLY, 0);
        assertEquals(1, sys.write(fd, MemorySegment.ofArray(parts[1].getBytes())), setting);
        assertEquals(0, sys.close(fd));
    }
}
