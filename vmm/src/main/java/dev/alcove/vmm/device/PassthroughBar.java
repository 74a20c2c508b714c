// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.kvm.Memslot;
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

    private record Slot(int number, VfioMapping mapping, long offset) {}

    private final VfioDevice device;
    private final VfioRegion region;
    private final Board board;
    private final List<Slot> slots = new ArrayList<>();
    private final StructCache buffers = new StructCache(ValueLayout.JAVA_LONG);
    private boolean shown;

    /** @param region of a size that is a power of two */
    PassthroughBar(VfioDevice device, VfioRegion region, Board board) {
        this.device = device;
        this.region = region;
        this.board = board;
        try {
            for (VfioRegion.Area area : region.mappable()) {
                if (((area.offset() | area.size()) & (Linux.PAGE_SIZE - 1)) == 0) {
                    VfioMapping mapping = device.mmapRegion(region, area.offset(), area.size());
                    slots.add(new Slot(board.memslots().getAsInt(), mapping, area.offset()));
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

    /** Puts the BAR at an address; hidden before. Where something else is, it stays hidden. */
    void show(long address) {
        if (!board.mmio().add(address, region.size(), this)) {
            return;
        }
        shown = true;
        for (Slot slot : slots) {
            try {
                board.vm().setUserMemoryRegion(Memslot.of(
                        slot.number(), address + slot.offset(), slot.mapping().size(), slot.mapping().address()));
            } catch (SyscallException _) {
                hide(); // over RAM, or not page aligned: a guest that does this gets nothing
                return;
            }
        }
    }

    /** Takes the BAR out of the guest's address space. */
    void hide() {
        if (!shown) {
            return;
        }
        shown = false;
        board.mmio().remove(this);
        for (Slot slot : slots) {
            try {
                board.vm().deleteMemslot(slot.number());
            } catch (SyscallException _) {
                // EINVAL: show() did not get to it
            }
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
        for (Slot slot : slots) {
            slot.mapping().close();
        }
        slots.clear();
    }
}
