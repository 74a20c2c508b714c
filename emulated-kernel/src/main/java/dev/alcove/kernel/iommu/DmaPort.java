// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.iommu.IommuFault.Reason;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The only way a device model reaches memory: each page of a transfer goes IOVA, IOTLB or page table walk, frame.
 * A page that has no translation, or not the right, is refused and recorded; the rest of the transfer still happens.
 * Bus mastering and MSI addresses are the caller's affair. Any thread may call. A device whose domains have pages below
 * 4 KiB makes no DMA.
 */
public final class DmaPort {
    private static final long NOT_PINNED = 1L << 62;

    private final IommuDevice device;
    private final Iommu iommu;

    DmaPort(IommuDevice device) {
        this.device = device;
        this.iommu = device.group().iommu();
    }

    /**
     * The device reads memory. Refused bytes read as zeros, as on QEMU's bus.
     *
     * @return whether every byte came from memory
     */
    public boolean read(long iova, MemorySegment into) {
        return transfer(iova, into, false);
    }

    /**
     * The device writes memory. Refused bytes are dropped.
     *
     * @return whether every byte reached memory
     */
    public boolean write(long iova, MemorySegment from) {
        return transfer(iova, from, true);
    }

    private boolean transfer(long iova, MemorySegment buffer, boolean write) {
        long length = buffer.byteSize();
        long refused = 0;
        for (long done = 0; done < length; ) {
            long at = iova + done;
            long part = Math.min(Linux.PAGE_SIZE - (at & (Linux.PAGE_SIZE - 1)), length - done);
            long hit = transferPage(at, buffer, done, part, write);
            FrameState state = state(hit, buffer.asSlice(done, part), write);
            iommu.counters().count(state);
            if (state == FrameState.HOLE) {
                refused += part;
                if (!write) {
                    buffer.asSlice(done, part).fill((byte) 0);
                }
            }
            done += part;
        }
        iommu.counters().count(refused == 0, write, length - refused);
        return refused == 0;
    }

    /** What a page has hit. Registers are reached only here, where no lock of the IOMMU is held: they have their own. */
    private FrameState state(long hit, MemorySegment part, boolean write) {
        if (hit < 0) {
            return FrameState.HOLE;
        }
        if ((hit & NOT_PINNED) != 0) {
            return iommu.isPrivate((hit & ~NOT_PINNED) >>> Linux.PAGE_SHIFT) ? FrameState.PRIVATE : FrameState.FREED;
        }
        if (hit < iommu.memory().view().byteSize()) {
            return FrameState.SHARED;
        }
        RegisterWindows.Place place = iommu.registers().at(hit);
        if (place == null) {
            return FrameState.HOLE;
        }
        for (long done = 0; done < part.byteSize(); ) {
            long at = place.offset() + done;
            int size = (int) Math.min(Long.lowestOneBit(at | Long.BYTES), Long.highestOneBit(part.byteSize() - done));
            if (write) {
                long value = 0;
                for (int i = 0; i < size; i++) {
                    value |= (part.get(ValueLayout.JAVA_BYTE, done + i) & 0xffL) << (8 * i);
                }
                place.region().write(at, size, value);
            } else {
                long value = place.region().read(at, size);
                for (int i = 0; i < size; i++) {
                    part.set(ValueLayout.JAVA_BYTE, done + i, (byte) (value >>> (8 * i)));
                }
            }
            done += size;
        }
        return FrameState.REGISTERS;
    }

    /**
     * One page or less, with a shared hold of it in the domain: an unmap waits for it, see {@link IommuDomain}.
     *
     * @return the address that was hit, with a bit where the kernel does not keep the frame for DMA; -1 when it was
     *     refused. Where there is no memory, nothing has been moved
     */
    private long transferPage(long iova, MemorySegment buffer, long offset, long length, boolean write) {
        while (true) {
            IommuDomain domain = device.group().domain();
            if (domain == null) {
                return refuse(iova, write, Reason.NO_DOMAIN);
            }
            int hold = domain.beginDma(iova);
            try {
                if (device.group().domain() != domain) {
                    continue;
                }
                if (Long.compareUnsigned(iova, domain.lastOfTable()) > 0) {
                    return refuse(iova, write, Reason.BEYOND_APERTURE);
                }
                long entry = translate(domain, iova >>> Linux.PAGE_SHIFT);
                if (entry == 0) {
                    return refuse(iova, write, Reason.NOT_PRESENT);
                }
                if ((entry & (write ? IommuDomain.WRITE : IommuDomain.READ)) == 0) {
                    return refuse(iova, write, write ? Reason.NOT_WRITABLE : Reason.NOT_READABLE);
                }
                long address = (entry & -Linux.PAGE_SIZE) | (iova & (Linux.PAGE_SIZE - 1));
                if (address >= iommu.memory().view().byteSize()) {
                    return address;
                }
                if (write) {
                    MemorySegment.copy(buffer, offset, iommu.memory().view(), address, length);
                } else {
                    MemorySegment.copy(iommu.memory().view(), address, buffer, offset, length);
                }
                return iommu.memory().pins(address >>> Linux.PAGE_SHIFT) > 0 ? address : address | NOT_PINNED;
            } finally {
                domain.endDma(hold);
            }
        }
    }

    private long translate(IommuDomain domain, long page) {
        Iotlb iotlb = device.iotlb();
        long entry = iotlb.lookup(domain.id(), page);
        if (entry != 0) {
            iommu.iotlbCounters().hit(domain.walk(page << Linux.PAGE_SHIFT) == entry);
        } else {
            iommu.iotlbCounters().miss();
            entry = domain.walk(page << Linux.PAGE_SHIFT);
            if (entry != 0) {
                iotlb.insert(domain.id(), page, entry);
            }
        }
        return entry;
    }

    private long refuse(long iova, boolean write, Reason reason) {
        iommu.faults().record(device.requesterId(), iova, write, reason);
        return -1;
    }
}
