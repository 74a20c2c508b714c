// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;

/**
 * Whether the host has memory for pages of a file of ours. It is asked by cachestat(2), which takes no lock of the file's,
 * through descriptors of an open file for each few threads, so that those who ask at once write to no common cache line in
 * the host's kernel either. A host without it is asked by lseek(2).
 *
 * <p>Thread safe.
 */
final class TouchedPages implements AutoCloseable {
    /** A power of two. */
    private static final int OPENINGS = 8;

    private final Syscalls host;
    private final int fd;
    /** The file opened again and again; empty where that cannot be, or is of no use. */
    private final int[] openings;

    TouchedPages(Syscalls host, int fd) {
        this.host = host;
        this.fd = fd;
        openings = open(host, fd);
    }

    private static int[] open(Syscalls host, int fd) {
        if (host.cachestat(fd, 0, Linux.PAGE_SIZE) < 0) {
            return new int[0];
        }
        int[] openings = new int[OPENINGS];
        for (int i = 0; i < OPENINGS; i++) {
            int again = host.open("/proc/self/fd/" + fd, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
            openings[i] = again >= 0 ? again : fd;
        }
        return openings;
    }

    /** Whether the host has memory, or a place in its swap space, for one of consecutive pages. */
    boolean any(long first, long count) {
        long offset = first << Linux.PAGE_SHIFT;
        if (openings.length != 0) {
            int opening = openings[(int) Thread.currentThread().threadId() & OPENINGS - 1];
            long pages = host.cachestat(opening, offset, count << Linux.PAGE_SHIFT);
            if (pages >= 0) {
                return pages > 0;
            }
        }
        long data = host.lseek(fd, offset, Linux.SEEK_DATA);
        return data != -Errno.ENXIO && data < offset + (count << Linux.PAGE_SHIFT);
    }

    @Override
    public void close() {
        for (int opening : openings) {
            if (opening != fd) {
                host.close(opening);
            }
        }
    }
}
