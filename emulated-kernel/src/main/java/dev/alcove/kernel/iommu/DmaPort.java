// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.iommu.IommuFault.Reason;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/**
 * The only way a device model reaches memory: each page of a transfer goes IOVA, IOTLB or page table walk, frame.
 * A page that has no translation, or not the right, is refused and recorded; the rest of the transfer still happens.
 * Bus mastering and MSI addresses are the caller's affair. Any thread may call. A device whose domains have pages below
 * 4 KiB makes no DMA.
 */
public final class DmaPort {
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
            long part = Math.min(Linux.PAGE_SIZE - (at & Linux.PAGE_SIZE - 1), length - done);
            if (!transferPage(at, buffer, done, part, write)) {
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

    /** One page or less, under the domain's read lock: an unmap waits for it, see {@link IommuDomain}. */
    private boolean transferPage(long iova, MemorySegment buffer, long offset, long length, boolean write) {
        while (true) {
            IommuDomain domain = device.group().domain();
            if (domain == null) {
                return refuse(iova, write, Reason.NO_DOMAIN);
            }
            long stamp = domain.beginDma();
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
                    // Registers of a device: there is no way from here to them.
                    return false;
                }
                if (write) {
                    MemorySegment.copy(buffer, offset, iommu.memory().view(), address, length);
                } else {
                    MemorySegment.copy(iommu.memory().view(), address, buffer, offset, length);
                }
                return true;
            } finally {
                domain.endDma(stamp);
            }
        }
    }

    private long translate(IommuDomain domain, long page) {
        Iotlb iotlb = device.iotlb();
        long entry = iotlb.lookup(domain.id(), page);
        if (entry == 0) {
            entry = domain.walk(page << Linux.PAGE_SHIFT);
            if (entry != 0) {
                iotlb.insert(domain.id(), page, entry);
            }
        }
        return entry;
    }

    private boolean refuse(long iova, boolean write, Reason reason) {
        iommu.faults().record(device.requesterId(), iova, write, reason);
        return false;
    }
}
