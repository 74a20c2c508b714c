// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Syscalls;

/** One emulated machine with its kernel. Its processes are {@code EmulatedProcess}es. */
public final class EmulatedKernel implements AutoCloseable {
    private final KernelProfile profile;
    private final Allocator allocator;
    private final PhysicalMemory memory;
    private final Vfs vfs = new Vfs();

    /**
     * @param host where the machine's memory comes from
     * @param frames physical memory in frames of 4 KiB; it is sparse, so be generous
     */
    public EmulatedKernel(KernelProfile profile, Syscalls host, long frames, Allocator allocator) {
        this.profile = profile;
        this.allocator = allocator;
        this.memory = new PhysicalMemory(host, frames);
    }

    /** The release that is emulated. */
    public KernelProfile profile() {
        return profile;
    }

    /** Where allocations are counted. */
    public Allocator allocator() {
        return allocator;
    }

    /** The machine's memory. */
    public PhysicalMemory memory() {
        return memory;
    }

    /** The paths: /dev and /sys. */
    public Vfs vfs() {
        return vfs;
    }

    @Override
    public void close() {
        memory.close();
    }
}
