// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.BadInputException;
import org.jspecify.annotations.Nullable;

/**
 * Where the shared side of RAM comes from, in the terms of QEMU's memory backends.
 *
 * @param kind memory-backend-ram, -memfd or -file
 * @param file the path, for {@link Kind#FILE}; a directory gives an unnamed file in it
 * @param hugePage bytes of its huge pages: 0 for ordinary ones; a power of two
 * @param shared MAP_SHARED; else MAP_PRIVATE: nobody else sees what the guest writes, a file keeps its contents
 * @param prealloc take all memory now, and fail now when there is not so much
 */
public record RamBackend(Kind kind, @Nullable String file, long hugePage, boolean shared, boolean prealloc) {
    /** Pages of 2 MiB, the default size of huge pages. */
    public static final long HUGE_2M = 2L << 20;

    /** Pages of 1 GiB. */
    public static final long HUGE_1G = 1L << 30;

    /** What is mapped. */
    public enum Kind {
        /** Anonymous memory. */
        RAM("ram"),
        /** A memfd. */
        MEMFD("memfd"),
        /** A file of the host. */
        FILE("file");

        private final String label;

        Kind(String label) {
            this.label = label;
        }

        /** The name on the command line. */
        public String label() {
            return label;
        }
    }

    public RamBackend {
        if ((kind == Kind.FILE) != (file != null)) {
            throw new BadInputException(
                    kind == Kind.FILE
                            ? "memory from a file: which one?"
                            : "memory of kind " + kind.label() + " has no file",
                    "write backend=file,file=PATH");
        }
        if (hugePage != 0 && hugePage != HUGE_2M && hugePage != HUGE_1G) {
            throw new BadInputException("huge pages of " + hugePage + " bytes: x86-64 has 2M and 1G");
        }
        if (hugePage != 0 && kind == Kind.FILE) {
            throw new BadInputException(
                    "the pages of a file are those of its file system", "for huge pages take a file on hugetlbfs");
        }
    }

    /** A memfd, shared: what RAM is unless one asks for something else. */
    public static RamBackend memfd() {
        return new RamBackend(Kind.MEMFD, null, 0, true, false);
    }

    /** The same, where memory comes with the first touch of a page. */
    RamBackend onDemand() {
        return new RamBackend(kind, file, hugePage, shared, false);
    }

    /** The smallest piece that its memory comes and goes in. */
    public long pageSize() {
        return hugePage == 0 ? RamLayout.PAGE : hugePage;
    }
}
