// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

import static dev.alcove.contract.Checks.ok;

/** Lines of /proc/self/status. */
final class ProcessStatus {
    private ProcessStatus() {}

    /** What a line says. */
    static String line(KernelUnderTest kernel, String name) {
        int file = Checks.fd(kernel.sys().open("/proc/self/status", Linux.O_RDONLY | Linux.O_CLOEXEC, 0));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(16 << 10, 8);
            long length = ok(kernel.sys().read(file, text));
            byte[] bytes = text.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
            return new String(bytes, StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> line.startsWith(name + ":"))
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("/proc/self/status has no " + name))
                    .substring(name.length() + 1)
                    .strip();
        } finally {
            ok(kernel.sys().close(file));
        }
    }

    /** A line that tells an amount of memory, in pages. */
    static long pages(KernelUnderTest kernel, String name) {
        String line = line(kernel, name);
        return Long.parseLong(line.substring(0, line.indexOf(' '))) / 4;
    }

    /** Whether the process has a capability. */
    static boolean capable(KernelUnderTest kernel, int capability) {
        return (Long.parseLong(line(kernel, "CapEff"), 16) >>> capability & 1) != 0;
    }
}
