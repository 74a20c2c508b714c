// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import com.sun.management.OperatingSystemMXBean;
import dev.alcove.sys.Syscalls;
import java.lang.management.ManagementFactory;
import java.util.OptionalLong;

/** How much memory the machine has that a guest's memory comes from. */
public final class HostMemory {
    private HostMemory() {}

    /**
     * The machine's memory in bytes: {@code MemTotal} of /proc/meminfo, or of the machine that runs this process where
     * the kernel has no such file.
     */
    public static long totalBytes(Syscalls syscalls) {
        OptionalLong total = KernelText.read(syscalls, "/proc/meminfo")
                .map(text -> KernelText.number(text, "MemTotal:"))
                .orElse(OptionalLong.empty());
        if (total.isPresent()) {
            return total.getAsLong() << 10;
        }
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
    }
}
