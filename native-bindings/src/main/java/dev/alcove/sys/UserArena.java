// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/**
 * Memory of the process behind a {@link Syscalls}, for structs that other structs point to.
 *
 * <p>One anonymous mapping, handed out from its start; freed as a whole. Not thread safe.
 */
public final class UserArena implements SegmentAllocator, AutoCloseable {
    private final Syscalls syscalls;
    private final MemorySegment memory;
    private long used;
    private boolean open = true;

    /** @param capacity bytes, rounded up to whole pages */
    public UserArena(Syscalls syscalls, long capacity) {
        this.syscalls = syscalls;
        long length = (capacity + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        long address = syscalls.mmap(
                0, length, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
        if (Linux.isError(address)) {
            throw new SyscallException("mmap", length + " bytes of scratch memory", address);
        }
        this.memory = UserMappings.segment(address, length);
    }

    @Override
    public MemorySegment allocate(long byteSize, long byteAlignment) {
        if (!open) {
            throw new IllegalStateException("arena is closed");
        }
        long start = (used + byteAlignment - 1) & -byteAlignment;
        if (byteSize < 0 || byteSize > memory.byteSize() - start) {
            throw new IllegalStateException("arena of " + memory.byteSize() + " bytes is full: " + used
                    + " are in use, " + byteSize + " more are wanted");
        }
        used = start + byteSize;
        return memory.asSlice(start, byteSize).fill((byte) 0);
    }

    /** Hands the memory out anew from its start. */
    public void reset() {
        used = 0;
    }

    /** Unmaps the memory; no access after that. A second call does nothing. */
    @Override
    public void close() {
        if (open) {
            open = false;
            syscalls.munmap(memory.address(), memory.byteSize());
        }
    }
}
