// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * An object of the kernel that a file descriptor stands for, and that one Java object owns.
 *
 * <p>After {@link #close} every call answers EBADF: the number is forgotten, so that a late call never meets another
 * file that got the same number.
 */
public abstract class KernelFile implements AutoCloseable {
    protected final Syscalls syscalls;
    private final AtomicInteger descriptor;

    /** @param fd an open descriptor; this object closes it */
    protected KernelFile(Syscalls syscalls, int fd) {
        this.syscalls = syscalls;
        this.descriptor = new AtomicInteger(fd);
    }

    /** The kernel that the object lives in. */
    public final Syscalls syscalls() {
        return syscalls;
    }

    /** The file descriptor; -1 after close. */
    public final int fd() {
        return descriptor.get();
    }

    /** close(2); a second call does nothing. */
    @Override
    public void close() {
        int fd = descriptor.getAndSet(-1);
        if (fd >= 0) {
            syscalls.close(fd);
        }
    }
}
