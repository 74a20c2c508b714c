// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Arrays;

/** The resource limits of a process; -1 is none. Guarded by its monitor, single reads are plain. */
public final class Limits {
    private static final int COUNT = 16;
    /** sysctl fs.nr_open. */
    private static final long NR_OPEN = 1 << 20;

    private final long[] soft = new long[COUNT];
    private final long[] hard = new long[COUNT];

    /** The limits that Linux boots with, as far as anything here asks for them. */
    public Limits() {
        Arrays.fill(soft, Linux.RLIM_INFINITY);
        Arrays.fill(hard, Linux.RLIM_INFINITY);
        soft[Linux.RLIMIT_NOFILE] = 1024;
        hard[Linux.RLIMIT_NOFILE] = 4096;
        soft[Linux.RLIMIT_MEMLOCK] = 8 << 20;
        hard[Linux.RLIMIT_MEMLOCK] = 8 << 20;
    }

    /** Whether there is a limit of this number. */
    public static boolean known(int resource) {
        return resource >= 0 && resource < COUNT;
    }

    /** The soft limit. */
    public synchronized long soft(int resource) {
        return soft[resource];
    }

    /** The hard limit. */
    public synchronized long hard(int resource) {
        return hard[resource];
    }

    /**
     * Sets both.
     *
     * @return 0; {@code -EINVAL} for a soft limit above the hard one; {@code -EPERM} for a hard limit that rises
     *     without CAP_SYS_RESOURCE, or above the system's
     */
    public synchronized int set(int resource, long newSoft, long newHard, boolean privileged) {
        if (Long.compareUnsigned(newSoft, newHard) > 0) {
            return -Errno.EINVAL;
        }
        if (resource == Linux.RLIMIT_NOFILE && Long.compareUnsigned(newHard, NR_OPEN) > 0) {
            return -Errno.EPERM;
        }
        if (Long.compareUnsigned(newHard, hard[resource]) > 0 && !privileged) {
            return -Errno.EPERM;
        }
        soft[resource] = newSoft;
        hard[resource] = newHard;
        return 0;
    }
}
