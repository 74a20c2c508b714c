// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The machine's pools of huge pages, one of each size that x86-64 has: 2 MiB, which is the default size, and 1 GiB.
 * Immutable; the pools guard themselves.
 */
public final class HugePools {
    private static final int SIZE_SHIFT = 26;
    private static final int SIZE_MASK = 0x3f;

    /** The flags of mmap(2) and memfd_create(2) that say a size: its binary logarithm, or 0 for the default size. */
    public static final int SIZE_FLAGS = SIZE_MASK << SIZE_SHIFT;

    private final HugePages ordinary = new HugePages(2L << 20);
    private final HugePages gigantic = new HugePages(1L << 30);

    HugePools() {}

    /** The pool of the default size. */
    public HugePages ordinary() {
        return ordinary;
    }

    /** The pool of 1 GiB pages. */
    public HugePages gigantic() {
        return gigantic;
    }

    /** Both, the default size first. */
    public List<HugePages> all() {
        return List.of(ordinary, gigantic);
    }

    /** The pool that flags of mmap(2) or memfd_create(2) ask for; null when there is none of the size. */
    public @Nullable HugePages asked(int flags) {
        int log = flags >>> SIZE_SHIFT & SIZE_MASK;
        if (log == 0) {
            return ordinary;
        }
        for (HugePages pool : all()) {
            if (pool.bytes() == 1L << log) {
                return pool;
            }
        }
        return null;
    }

    /** The lines of /proc/meminfo: the pages of the default size, and the memory of all. */
    public String describe() {
        return """
                HugePages_Total: %7d
                HugePages_Free:  %7d
                HugePages_Rsvd:  %7d
                HugePages_Surp:        0
                Hugepagesize:    %7d kB
                Hugetlb:         %7d kB
                """.formatted(
                ordinary.total(),
                ordinary.free(),
                ordinary.reserved(),
                ordinary.bytes() >> 10,
                all().stream().mapToLong(pool -> pool.total() * (pool.bytes() >> 10)).sum());
    }
}
