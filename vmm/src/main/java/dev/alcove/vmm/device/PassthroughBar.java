// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.discard.GpaRange;
import dev.alcove.memory.MemoryRegion;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.StructCache;
import dev.alcove.sys.SyscallException;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioMapping;
import dev.alcove.vfio.VfioRegion;
import dev.alcove.vmm.bus.MmioDevice;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * A memory BAR of a passed-through device.
 *
 * <p>Parts that VFIO lets us map become memslots, so that the guest reaches the device without an exit. All accesses
 * elsewhere in the BAR are trapped and done with pread and pwrite; one that the device refuses reads as all ones and
 * is lost as a write, as on a bus. The owner's lock protects {@link #show} and {@link #hide}; reads and writes
 * come from any vCPU.
 */
final class PassthroughBar implements MmioDevice, AutoCloseable {
    private static final int MAX_ACCESS = 8;

    /** A part that is mapped here. */
    private record Part(String name, VfioMapping mapping, long offset) {
        MemoryRegion at(long bar) {
            return MemoryRegion.device(name, GpaRange.of(bar + offset, mapping.size()), mapping.address());
        }
    }

    private final VfioDevice device;
    private final VfioRegion region;
    private final Board board;
    private final List<Part> parts = new ArrayList<>();
    private final StructCache buffers = new StructCache(ValueLayout.JAVA_LONG);
    /** The parts in the guest's address space. */
    private List<MemoryRegion> shown = List.of();

    /** @param region of a size that is a power of two */
    PassthroughBar(VfioDevice device, VfioRegion region, Board board) {
        this.device = device;
        this.region = region;
        this.board = board;
        try {
            for (VfioRegion.Area area : region.mappable()) {
                if (((area.offset() | area.size()) & (Linux.PAGE_SIZE - 1)) == 0) {
                    VfioMapping mapping = device.mmapRegion(region, area.offset(), area.size());
                    parts.add(new Part(device + " BAR " + region.index(), mapping, area.offset()));
                }
            }
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    long size() {
        return region.size();
    }

    /** Puts the BAR at an address, wherever it is now. Where another device is, or no place at all, it is hidden. */
    void show(long address) {
        board.mmio().remove(this);
        if (GpaRange.aligned(address, region.size(), 1).isEmpty() || !board.mmio().add(address, region.size(), this)) {
            hide();
            return;
        }
        try {
            move(parts.stream().map(part -> part.at(address)).toList());
        } catch (SyscallException | BadInputException _) {
            hide(); // beyond what the processor can address, or not page aligned: a guest that does this gets nothing
        }
    }

    /** Takes the BAR out of the guest's address space. */
    void hide() {
        board.mmio().remove(this);
        try {
            move(List.of());
        } catch (SyscallException _) {
            // What KVM keeps is shown to the guest until the VM ends.
        }
    }

    private void move(List<MemoryRegion> next) {
        if (!next.equals(shown)) {
            board.space().change(shown, next);
            shown = next;
        }
    }

    @Override
    public long read(long offset, int size) {
        MemorySegment buffer = buffers.take();
        try {
            buffer.set(ValueLayout.JAVA_LONG, 0, -1);
            device.readRegion(region, offset, buffer.asSlice(0, Math.min(size, MAX_ACCESS)));
            return buffer.get(ValueLayout.JAVA_LONG, 0);
        } catch (SyscallException _) {
            return -1;
        } finally {
            buffers.give(buffer);
        }
    }

    @Override
    public void write(long offset, int size, long value) {
        MemorySegment buffer = buffers.take();
        try {
            buffer.set(ValueLayout.JAVA_LONG, 0, value);
            device.writeRegion(region, offset, buffer.asSlice(0, Math.min(size, MAX_ACCESS)));
        } catch (SyscallException _) {
            // the device does not take it: lost, as on a bus
        } finally {
            buffers.give(buffer);
        }
    }

    @Override
    public void close() {
        hide();
        for (Part part : parts) {
            part.mapping().close();
        }
        parts.clear();
    }
}
