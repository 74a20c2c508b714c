// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;

/** A file with memory that only a guest can reach, unless it was made with GUEST_MEMFD_FLAG_MMAP. */
public final class GuestMemfd extends KernelFile {
    /** GUEST_MEMFD_FLAG_MMAP: the process may map it. Since Linux 6.18. */
    public static final long FLAG_MMAP = 1;

    /** GUEST_MEMFD_FLAG_INIT_SHARED: its pages begin as shared. Since Linux 6.18. */
    public static final long FLAG_INIT_SHARED = 2;

    private final long size;
    private final long flags;

    GuestMemfd(Syscalls syscalls, int fd, long size, long flags) {
        super(syscalls, fd);
        this.size = size;
        this.flags = flags;
    }

    /** Bytes. */
    public long size() {
        return size;
    }

    /** {@link #FLAG_MMAP}, {@link #FLAG_INIT_SHARED}. */
    public long flags() {
        return flags;
    }

    /**
     * fallocate(2) with KEEP_SIZE: takes the memory for a range now.
     *
     * @throws SyscallException EINVAL not a multiple of 4096 or behind the end, ENOMEM
     */
    public void allocate(long offset, long length) {
        fallocate(Linux.FALLOC_FL_KEEP_SIZE, "fallocate", offset, length);
    }

    /**
     * fallocate(2) with PUNCH_HOLE: frees the memory of a range; the guest loses its contents.
     *
     * @throws SyscallException EINVAL not a multiple of 4096
     */
    public void punchHole(long offset, long length) {
        fallocate(Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE, "fallocate(PUNCH_HOLE)", offset, length);
    }

    private void fallocate(int mode, String operation, long offset, long length) {
        int answer;
        do {
            answer = syscalls.fallocate(fd(), mode, offset, length);
        } while (answer == -Errno.EINTR);
        if (answer < 0) {
            throw new SyscallException(
                    operation,
                    "guest_memfd " + fd() + " [0x" + Long.toHexString(offset) + ", 0x"
                            + Long.toHexString(offset + length) + ")",
                    answer);
        }
    }
}
