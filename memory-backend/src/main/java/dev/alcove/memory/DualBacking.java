// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.BadInputException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

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
     * @param backend of the shared side; where it is to be preallocated, the private side is instead, as that is where
     *     nearly all of it is once the guest runs
     * @param size bytes, a multiple of the backend's page size
     */
    public static DualBacking create(
            Vm vm, RamBackend backend, String name, long size, SharedBacking.FilePlace place) {
        if (backend.kind() == RamBackend.Kind.FILE && !backend.shared()) {
            throw new BadInputException(
                    "a confidential guest's shared memory from a private mapping of a file would show the file's"
                            + " contents again after each conversion",
                    "write shared=on");
        }
        SharedBacking shared = SharedBacking.create(vm.syscalls(), backend.onDemand(), name, size, place);
        try {
            return new DualBacking(shared, privateSide(vm, backend, size));
        } catch (RuntimeException failure) {
            shared.close();
            throw failure;
        }
    }

    private static GuestMemfd privateSide(Vm vm, RamBackend backend, long size) {
        // Not FLAG_MMAP, whatever KVM_CAP_GUEST_MEMFD_FLAGS offers: a slot of such a file has no other side.
        GuestMemfd gmem = vm.createGuestMemfd(size, 0);
        try {
            if (backend.prealloc()) {
                gmem.allocate(0, size);
            }
            return gmem;
        } catch (RuntimeException failure) {
            gmem.close();
            throw failure;
        }
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
    public Optional<FileRange> file() {
        return shared.file();
    }

    @Override
    public Residency.Source sharedResidency() {
        return shared.sharedResidency();
    }

    @Override
    public Residency.Source privateResidency() {
        return new Residency.Blocks(gmem.fd());
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
