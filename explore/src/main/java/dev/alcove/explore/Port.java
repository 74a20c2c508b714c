// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.CutStrategy;
import dev.alcove.vfio.DmaSource;
import dev.alcove.vfio.MapStrategy;
import dev.alcove.vfio.PageStrategy;
import dev.alcove.vfio.VfioDmaMapper;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Where a device is plugged in: while it is, it has an iommufd, an I/O address space and a mapper of its own. Belongs to
 * whoever has the baton.
 */
final class Port {
    private final int number;
    private final EmulatedKernel kernel;
    private final IommuDevice device;
    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private Consumer<String> note = _ -> {};
    /** What follows the memory, as soon as it may have mapped some. */
    private @Nullable VfioDmaMapper follower;
    /** The same, while it has mapped all. */
    private @Nullable VfioDmaMapper mapper;
    /** Whether all that is shared is mapped: neither coming nor going. */
    private boolean follows;

    Port(int number, EmulatedKernel kernel) {
        this.number = number;
        this.kernel = kernel;
        this.device = kernel.iommu().newGroup().addDevice(0x10 + number);
    }

    int number() {
        return number;
    }

    IommuDevice device() {
        return device;
    }

    boolean follows() {
        return follows;
    }

    @Nullable VfioDmaMapper mapper() {
        return mapper;
    }

    /**
     * Plugs the device in. Where that fails, nothing of it is left.
     *
     * @param listens told of each listener that comes or goes
     * @throws AlcoveException what went wrong
     */
    void plug(Syscalls syscalls, String strategy, GuestMemory memory, Consumer<String> listens) {
        note = listens;
        try {
            IommuFd iommu = IommuFd.open(syscalls);
            open.push(iommu);
            IommufdContext context = kernel.iommufd().contexts().getLast();
            Ioas ioas = iommu.ioasAlloc();
            open.push(ioas);
            MapStrategy prepared = strategy.equals("cut") ? CutStrategy.prepare(ioas) : new PageStrategy(ioas);
            attach(context, ioas);
            VfioDmaMapper fresh = new VfioDmaMapper(prepared);
            follower = fresh;
            for (RamBlock block : memory.blocks()) {
                note.accept("registers " + block.name());
                Outcome outcome =
                        fresh.add(block.discards(), new Iova(block.range().start().value()), source(block));
                if (!outcome.isDone()) {
                    throw new InvariantException(block + " is not mapped: " + outcome);
                }
            }
            mapper = fresh;
            follows = true;
        } catch (AlcoveException refused) {
            unplug();
            throw refused;
        }
    }

    /** As a machine's devices map it: the memfd where the kernel takes it. */
    private static DmaSource source(RamBlock block) {
        return block.backing()
                .file()
                .map(file -> DmaSource.of(block.hva(), file.fd(), file.offset()))
                .orElse(DmaSource.of(block.hva()));
    }

    private void attach(IommufdContext context, Ioas ioas) {
        long id = context.bindDevice(device);
        if (id < 0) {
            throw new InvariantException("bind: " + id);
        }
        open.push(() -> context.unbind(id));
        long attached = context.attach(id, 0, ioas.id());
        if (attached < 0) {
            throw new InvariantException("attach: " + attached);
        }
        open.push(() -> context.detach(id, 0));
    }

    /**
     * Takes the device away: its mappings first, then the device, then its address space, with which mappings go that
     * could not be unmapped.
     */
    void unplug() {
        follows = false;
        mapper = null;
        VfioDmaMapper last = follower;
        follower = null;
        if (last == null) {
            closeAll();
        } else {
            note.accept("unregisters the blocks");
            last.closeWith(this::closeAll);
        }
    }

    private void closeAll() {
        RuntimeException first = null;
        while (!open.isEmpty()) {
            try {
                open.pop().close();
            } catch (RuntimeException failure) {
                first = first == null ? failure : first;
            } catch (Exception failure) {
                throw new AssertionError("closing", failure);
            }
        }
        if (first != null) {
            throw first;
        }
    }
}
