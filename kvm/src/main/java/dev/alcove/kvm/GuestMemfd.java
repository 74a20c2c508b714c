// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A file with memory that only a guest can reach, unless it was made with GUEST_MEMFD_FLAG_MMAP. */
public final class GuestMemfd extends KernelFile {
    /** GUEST_MEMFD_FLAG_MMAP: the process may map it. Since Linux 6.18. */
    public static final long FLAG_MMAP = 1;

    /** GUEST_MEMFD_FLAG_INIT_SHARED: its pages begin as shared. Since Linux 6.18. */
    public static final long FLAG_INIT_SHARED = 2;

    /** _IOWR(KVMIO, 0xd2, struct kvm_memory_attributes2). */
    private static final int SET_MEMORY_ATTRIBUTES2 = 0xc080_aed2;

    /** {@code struct kvm_memory_attributes2 { __u64 offset, size, attributes, flags, error_offset, reserved[11]; }}. */
    private static final int ATTRIBUTES2_BYTES = 128;

    private static final int ERROR_OFFSET = 32;

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

    /**
     * KVM_SET_MEMORY_ATTRIBUTES2 of the file, from the proposal "guest_memfd: In-place conversion": makes pages private
     * or shared, with their contents. All of the range or nothing. No header has it yet, and its number may change.
     *
     * @param attributes KVM_MEMORY_ATTRIBUTE_PRIVATE, or 0 for shared
     * @throws SyscallException ENOTTY the kernel does not have it; EINVAL unaligned, zero, behind the end, an unknown
     *     attribute, a VM without private memory; EAGAIN somebody holds a page that is to be private (a device that it
     *     is mapped for): the message has the first such; ENOMEM
     */
    public void setMemoryAttributes(long offset, long length, long attributes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = arena.allocate(ATTRIBUTES2_BYTES, 8);
            struct.set(ValueLayout.JAVA_LONG, 0, offset);
            struct.set(ValueLayout.JAVA_LONG, 8, length);
            struct.set(ValueLayout.JAVA_LONG, 16, attributes);
            int answer;
            do {
                answer = syscalls.ioctl(fd(), SET_MEMORY_ATTRIBUTES2, struct);
            } while (answer == -Errno.EINTR);
            if (answer < 0) {
                String held = answer == -Errno.EAGAIN
                        ? ", held at 0x" + Long.toHexString(struct.get(ValueLayout.JAVA_LONG, ERROR_OFFSET))
                        : "";
                throw new SyscallException(
                        "KVM_SET_MEMORY_ATTRIBUTES2",
                        "guest_memfd " + fd() + " [0x" + Long.toHexString(offset) + ", 0x"
                                + Long.toHexString(offset + length) + ") to " + attributes + held,
                        answer);
            }
        }
    }

    /** Whether the kernel knows {@link #setMemoryAttributes}: asked with a range that it refuses. */
    public boolean convertsInPlace() {
        try {
            setMemoryAttributes(0, 0, 0);
            return true;
        } catch (SyscallException refused) {
            return refused.errno() == Errno.EINVAL;
        }
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
