// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/** Why memory cannot be pinned for devices, and which limit would do. */
public final class LockedMemory {
    private static final Pattern HELD = Pattern.compile("^Vm(?:Pin|Lck):\\s+(\\d{1,15}) kB", Pattern.MULTILINE);

    private LockedMemory() {}

    /**
     * What a person can do after an ENOMEM from pinning memory.
     *
     * @param length that was to be pinned, bytes
     */
    public static String hint(Syscalls syscalls, long length) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(2 * JAVA_LONG.byteSize(), 8);
            long soft = syscalls.prlimit(Linux.RLIMIT_MEMLOCK, null, limit) == 0
                    ? limit.get(JAVA_LONG, 0)
                    : Linux.RLIM_INFINITY;
            long held = held(syscalls, arena);
            if (soft == Linux.RLIM_INFINITY || soft >= held + length) {
                return "the kernel is out of memory";
            }
            long need = Math.ceilDiv(held + length, 1024);
            return "RLIMIT_MEMLOCK is " + (soft >> 10) + " KiB, of which this process holds " + (held >> 10)
                    + " KiB: raise it to at least " + need + " KiB: ulimit -l " + need;
        }
    }

    /** Bytes that this process has pinned or locked, whichever is more: VmPin and VmLck of /proc/self/status. */
    private static long held(Syscalls syscalls, Arena arena) {
        int fd = syscalls.open("/proc/self/status", Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            return 0;
        }
        try {
            MemorySegment text = arena.allocate(4096);
            long length = Math.max(0, syscalls.read(fd, text));
            Matcher held = HELD.matcher(
                    new String(text.asSlice(0, length).toArray(JAVA_BYTE), StandardCharsets.US_ASCII));
            long most = 0;
            while (held.find()) {
                most = Math.max(most, Long.parseLong(held.group(1)) << 10);
            }
            return most;
        } finally {
            syscalls.close(fd);
        }
    }
}
