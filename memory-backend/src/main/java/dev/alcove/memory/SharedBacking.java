// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A memfd that is mapped shared: all RAM of an ordinary guest, and the shared side of a confidential one. */
public final class SharedBacking extends KernelFile implements MemoryBacking {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment mapping;

    private SharedBacking(Syscalls syscalls, int fd, long address, long size) {
        super(syscalls, fd);
        this.mapping = UserMappings.segment(address, size, arena);
    }

    /**
     * Takes address space for a block; memory comes with the first touch of a page.
     *
     * @param name of the block, for /proc/self/maps
     * @param size bytes, a multiple of 4096
     * @throws SyscallException ENOMEM, EMFILE
     */
    public static SharedBacking create(Syscalls syscalls, String name, long size) {
        int fd = SyscallException.check(syscalls.memfdCreate(name, Linux.MFD_CLOEXEC), "memfd_create", name);
        int answer = syscalls.ftruncate(fd, size);
        if (answer < 0) {
            syscalls.close(fd);
            throw new SyscallException("ftruncate", name + " to " + size + " bytes", answer);
        }
        long address =
                syscalls.mmap(0, size, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_NORESERVE, fd, 0);
        if (Linux.isError(address)) {
            syscalls.close(fd);
            throw new SyscallException("mmap", name + ", " + size + " bytes", address);
        }
        return new SharedBacking(syscalls, fd, address, size);
    }

    @Override
    public long size() {
        return mapping.byteSize();
    }

    @Override
    public MemorySegment shared() {
        return mapping;
    }

    @Override
    public boolean hasPrivateSide() {
        return false;
    }

    @Override
    public boolean leavesMemoryBehind() {
        return false;
    }

    @Override
    public MemoryRegion.Ram content() {
        return MemoryRegion.Ram.of(mapping.address());
    }

    @Override
    public void release(Side side, long offset, long length) {
        if (side == Side.PRIVATE) {
            throw new IllegalStateException("this block has no private side");
        }
        int answer;
        do {
            answer = syscalls.fallocate(
                    fd(), Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE, offset, length);
        } while (answer == -Errno.EINTR);
        SyscallException.check(answer, "fallocate(PUNCH_HOLE)", "offset 0x" + Long.toHexString(offset) + ", " + length + " bytes");
    }

    /** Unmaps and closes. No other thread may be inside an access. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            long address = mapping.address();
            arena.close();
            syscalls.munmap(address, mapping.byteSize());
        }
        super.close();
    }
}
