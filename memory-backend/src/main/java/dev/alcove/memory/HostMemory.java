// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import com.sun.management.OperatingSystemMXBean;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How much memory the machine has that a guest's memory comes from. */
public final class HostMemory {
    private static final Pattern TOTAL = Pattern.compile("^MemTotal:\\s+(\\d{1,15}) kB", Pattern.MULTILINE);

    private HostMemory() {}

    /**
     * The machine's memory in bytes: {@code MemTotal} of /proc/meminfo, or of the machine that runs this process where
     * the kernel has no such file.
     */
    public static long totalBytes(Syscalls syscalls) {
        int fd = syscalls.open("/proc/meminfo", Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (fd >= 0) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment text = arena.allocate(4096);
                long length = Math.max(0, syscalls.read(fd, text));
                byte[] bytes = text.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
                Matcher total = TOTAL.matcher(new String(bytes, StandardCharsets.US_ASCII));
                if (total.find()) {
                    return Long.parseLong(total.group(1)) << 10;
                }
            } finally {
                syscalls.close(fd);
            }
        }
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
    }
}
