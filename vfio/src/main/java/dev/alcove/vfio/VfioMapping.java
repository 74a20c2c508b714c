// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicBoolean;

/** A part of a device's region in the memory of this process; no access after close. */
public final class VfioMapping implements AutoCloseable {
    private final Syscalls syscalls;
    private final MemorySegment memory;
    private final AtomicBoolean open = new AtomicBoolean(true);

    VfioMapping(Syscalls syscalls, long address, long length) {
        this.syscalls = syscalls;
        this.memory = UserMappings.segment(address, length);
    }

    /** The device's registers or memory. */
    public MemorySegment memory() {
        return memory;
    }

    /** Where it is mapped. */
    public long address() {
        return memory.address();
    }

    /** Bytes. */
    public long size() {
        return memory.byteSize();
    }

    /** munmap(2); a second call does nothing. */
    @Override
    public void close() {
        if (open.compareAndSet(true, false)) {
            syscalls.munmap(memory.address(), memory.byteSize());
        }
    }
}
