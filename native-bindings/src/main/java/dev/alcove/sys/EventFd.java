// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/** A 64-bit counter of the kernel (eventfd(2)) that one side adds to and the other side takes; not blocking. */
public final class EventFd extends KernelFile {
    private final StructCache values = new StructCache(JAVA_LONG);

    private EventFd(Syscalls syscalls, int fd) {
        super(syscalls, fd);
    }

    /** eventfd2(2) with EFD_CLOEXEC and EFD_NONBLOCK, at zero. */
    public static EventFd create(Syscalls syscalls) {
        return new EventFd(
                syscalls, SyscallException.check(syscalls.eventfd(0, Linux.EFD_CLOEXEC | Linux.EFD_NONBLOCK), "eventfd2", ""));
    }

    /** Adds one to the counter; a full counter (EAGAIN) stays full, which the reader sees as well. */
    public void signal() {
        MemorySegment value = values.take();
        try {
            value.set(JAVA_LONG, 0, 1);
            long answer = syscalls.write(fd(), value);
            if (answer < 0 && answer != -Errno.EAGAIN) {
                throw new SyscallException("write", "eventfd " + fd(), answer);
            }
        } finally {
            values.give(value);
        }
    }

    /** Takes the counter, which becomes zero: the number of signals since the last call, 0 when there were none. */
    public long drain() {
        MemorySegment value = values.take();
        try {
            long answer = syscalls.read(fd(), value);
            if (answer == -Errno.EAGAIN) {
                return 0;
            }
            if (answer < 0) {
                throw new SyscallException("read", "eventfd " + fd(), answer);
            }
            return value.get(JAVA_LONG, 0);
        } finally {
            values.give(value);
        }
    }

    /**
     * Waits until the counter is not zero; it stays as it is.
     *
     * @param timeoutMillis -1 waits for ever
     * @return false when the time ran out or a signal came
     */
    public boolean await(int timeoutMillis) {
        MemorySegment pollfd = values.take();
        try {
            pollfd.set(JAVA_LONG, 0, Integer.toUnsignedLong(fd()) | (long) Linux.POLLIN << 32);
            int answer = syscalls.poll(pollfd, timeoutMillis);
            if (answer < 0 && answer != -Errno.EINTR) {
                throw new SyscallException("poll", "eventfd " + fd(), answer);
            }
            return answer > 0;
        } finally {
            values.give(pollfd);
        }
    }
}
