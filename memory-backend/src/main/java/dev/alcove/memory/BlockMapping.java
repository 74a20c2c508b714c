// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** The shared side of a block, mapped for reading and writing in this process, for as long as the block is open. */
final class BlockMapping implements AutoCloseable {
    private final Syscalls syscalls;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory;

    private BlockMapping(Syscalls syscalls, long address, long size) {
        this.syscalls = syscalls;
        this.memory = UserMappings.segment(address, size, arena);
    }

    /** Why there is no mapping: what mmap answered. */
    @FunctionalInterface
    interface Refusal {
        RuntimeException because(long answer);
    }

    /** mmap of a file, or of anonymous memory with descriptor -1. */
    static BlockMapping of(Syscalls syscalls, long size, int flags, int fd, long offset, Refusal refusal) {
        long address = syscalls.mmap(0, size, Linux.PROT_READ | Linux.PROT_WRITE, flags, fd, offset);
        if (Linux.isError(address)) {
            throw refusal.because(address);
        }
        return new BlockMapping(syscalls, address, size);
    }

    /** An access after {@link #close} is an IllegalStateException. */
    MemorySegment memory() {
        return memory;
    }

    long address() {
        return memory.address();
    }

    /** Unmaps; a second call does nothing. No other thread may be inside an access. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
            syscalls.munmap(memory.address(), memory.byteSize());
        }
    }
}
