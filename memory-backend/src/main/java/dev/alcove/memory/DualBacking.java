// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Vm;
import java.lang.foreign.MemorySegment;

/** Two files of the same size: a memfd for shared pages, a guest_memfd for private ones. Each page lies in one. */
public final class DualBacking implements MemoryBacking {
    private final SharedBacking shared;
    private final GuestMemfd gmem;

    private DualBacking(SharedBacking shared, GuestMemfd gmem) {
        this.shared = shared;
        this.gmem = gmem;
    }

    /**
     * Makes both sides of a block.
     *
     * @param size bytes, a multiple of 4096
     */
    public static DualBacking create(Vm vm, String name, long size) {
        SharedBacking shared = SharedBacking.create(vm.syscalls(), name, size);
        try {
            return new DualBacking(shared, vm.createGuestMemfd(size, 0));
        } catch (RuntimeException failure) {
            shared.close();
            throw failure;
        }
    }

    @Override
    public long size() {
        return shared.size();
    }

    @Override
    public MemorySegment shared() {
        return shared.shared();
    }

    @Override
    public boolean hasPrivateSide() {
        return true;
    }

    @Override
    public boolean leavesMemoryBehind() {
        return true;
    }

    @Override
    public MemoryRegion.Ram content() {
        return new MemoryRegion.Ram(shared.shared().address(), false, gmem, 0);
    }

    @Override
    public void release(Side side, long offset, long length) {
        switch (side) {
            case SHARED -> shared.release(side, offset, length);
            case PRIVATE -> gmem.punchHole(offset, length);
        }
    }

    @Override
    public void close() {
        gmem.close();
        shared.close();
    }
}
