// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The kernel's pool of huge pages of one size, as /sys/kernel/mm/hugepages shows it.
 *
 * @param pageBytes of one
 * @param total {@code nr_hugepages}
 * @param free nobody has touched them
 * @param reserved free ones that are promised to somebody
 */
public record HugePagePool(long pageBytes, long total, long free, long reserved) {
    /** The pool of a size; empty where the kernel has none. */
    public static Optional<HugePagePool> of(Syscalls syscalls, long pageBytes) {
        OptionalLong total = number(syscalls, pageBytes, "nr_hugepages");
        return total.isEmpty()
                ? Optional.empty()
                : Optional.of(new HugePagePool(
                        pageBytes,
                        total.getAsLong(),
                        number(syscalls, pageBytes, "free_hugepages").orElse(0),
                        number(syscalls, pageBytes, "resv_hugepages").orElse(0)));
    }

    private static OptionalLong number(Syscalls syscalls, long pageBytes, String file) {
        return KernelText.read(syscalls, folder(pageBytes) + "/" + file)
                .map(text -> KernelText.number(text, ""))
                .orElse(OptionalLong.empty());
    }

    private static String folder(long pageBytes) {
        return "/sys/kernel/mm/hugepages/hugepages-" + (pageBytes >> 10) + "kB";
    }

    /** How many more can be promised. */
    public long available() {
        return Math.max(0, free - reserved);
    }

    /** Why the kernel gave no huge pages, with what a person can do. */
    static SyscallException refused(
            Syscalls syscalls, String operation, String subject, long answer, long pageBytes, long bytes) {
        Optional<HugePagePool> pool = of(syscalls, pageBytes);
        String pages = "huge pages of " + (pageBytes >> 20) + " MiB";
        if (pool.isEmpty()) {
            return new SyscallException(
                    operation,
                    subject,
                    answer,
                    "this kernel has no " + pages + " (no " + folder(pageBytes)
                            + "): use another hugepage_size, or a kernel with CONFIG_HUGETLBFS on a processor that has"
                            + " them");
        }
        long needed = bytes / pageBytes;
        HugePagePool there = pool.get();
        boolean lacking = there.available() < needed && (-answer == Errno.ENOMEM || -answer == Errno.EFAULT);
        return lacking
                ? new SyscallException(
                        operation,
                        subject + ", " + needed + " " + pages,
                        answer,
                        "nr_hugepages is " + there.total + " with " + there.available() + " available, " + needed
                                + " needed: echo " + (there.total - there.available() + needed) + " > "
                                + folder(pageBytes) + "/nr_hugepages")
                : new SyscallException(operation, subject + ", " + pages, answer);
    }
}
