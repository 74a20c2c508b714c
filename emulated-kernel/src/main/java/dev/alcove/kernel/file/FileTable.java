// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.sys.Errno;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The descriptors of a process. Looking one up takes no lock; changes are synchronized on the table, and files are
 * released outside of it.
 */
public final class FileTable {
    private volatile AtomicReferenceArray<@Nullable OpenFile> files = new AtomicReferenceArray<>(64);
    private final BitSet used = new BitSet();
    private final BitSet closeOnExec = new BitSet();

    /** The file behind a descriptor with a reference taken, or null. */
    public @Nullable OpenFile get(int fd) {
        OpenFile file = find(fd);
        return file != null && file.tryGet() ? file : null;
    }

    /** The file behind a descriptor, borrowed ({@link OpenFile#borrow}), or null. */
    public @Nullable OpenFile borrow(int fd) {
        OpenFile file = find(fd);
        return file != null && file.borrow() ? file : null;
    }

    private @Nullable OpenFile find(int fd) {
        AtomicReferenceArray<@Nullable OpenFile> table = files;
        return fd < 0 || fd >= table.length() ? null : table.get(fd);
    }

    /**
     * Gives a file the lowest free descriptor and takes over a reference to it.
     *
     * @param from the lowest number that is acceptable
     * @param limit RLIMIT_NOFILE; -1 for none
     * @return the descriptor, or {@code -EMFILE} with the reference left to the caller
     */
    public synchronized int install(OpenFile file, boolean cloexec, int from, long limit) {
        int fd = used.nextClearBit(from);
        if (limit >= 0 && fd >= limit) {
            return -Errno.EMFILE;
        }
        AtomicReferenceArray<@Nullable OpenFile> table = files;
        if (fd >= table.length()) {
            AtomicReferenceArray<@Nullable OpenFile> larger = new AtomicReferenceArray<>(Math.max(fd + 1, 2 * table.length()));
            for (int i = 0; i < table.length(); i++) {
                larger.set(i, table.get(i));
            }
            table = larger;
        }
        used.set(fd);
        closeOnExec.set(fd, cloexec);
        table.set(fd, file);
        files = table;
        return fd;
    }

    /** Takes a file out of the table; the caller owns the reference. Null when there is none. */
    public synchronized @Nullable OpenFile remove(int fd) {
        if (fd < 0 || !used.get(fd)) {
            return null;
        }
        used.clear(fd);
        closeOnExec.clear(fd);
        return files.getAndSet(fd, null);
    }

    /** FD_CLOEXEC of an open descriptor. */
    public synchronized boolean closeOnExec(int fd) {
        return closeOnExec.get(fd);
    }

    /** Sets FD_CLOEXEC. */
    public synchronized void setCloseOnExec(int fd, boolean value) {
        closeOnExec.set(fd, value && used.get(fd));
    }

    /** How many descriptors are open. */
    public synchronized int count() {
        return used.cardinality();
    }

    /** The lowest open descriptor that is at least {@code from}, or -1. */
    public synchronized int next(int from) {
        return used.nextSetBit(from);
    }
}
