// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.sys.Linux;
import java.util.List;

/** A function's place behind the IOMMU. A driver may know more of its devices. */
public class IommuDevice {
    /** Where x86 takes message signalled interrupts: translated by interrupt remapping, never by a domain. */
    public static final ReservedRegion MSI_WINDOW =
            new ReservedRegion(0xfee0_0000L, 0xfeef_ffffL, ReservedRegion.Type.MSI);

    private final IommuGroup group;
    private final int requesterId;
    private final Iotlb iotlb = new Iotlb();
    private final DmaPort dma;
    private volatile List<ReservedRegion> reservedRegions;

    /**
     * A device of a driver that knows more of it.
     *
     * @param requesterId bus, device and function (16 bits)
     * @param reservedRegions IOVA ranges that no mapping may take
     */
    @SuppressWarnings("this-escape")
    protected IommuDevice(IommuGroup group, int requesterId, List<ReservedRegion> reservedRegions) {
        this.group = group;
        this.requesterId = requesterId;
        this.reservedRegions = List.copyOf(reservedRegions);
        this.dma = new DmaPort(this);
    }

    /** The group that the device is in. */
    public final IommuGroup group() {
        return group;
    }

    /** Bus, device and function (16 bits). */
    public final int requesterId() {
        return requesterId;
    }

    /** How the device model reaches memory. */
    public final DmaPort dma() {
        return dma;
    }

    /** IOVA ranges that no mapping may take. */
    public final List<ReservedRegion> reservedRegions() {
        return reservedRegions;
    }

    /** Replaces the reserved regions; takes effect at the next attach. */
    public final void setReservedRegions(List<ReservedRegion> regions) {
        reservedRegions = List.copyOf(regions);
    }

    /** What the IOMMU can do for the device. */
    public final IommuDriver driver() {
        return group.driver();
    }

    /**
     * Lets other devices reach a BAR of this one, where their domains map its frames.
     *
     * @return the first frame
     */
    public final long exposeRegisters(int bar, MmioRegion region) {
        return group.iommu().registers().add(requesterId, bar, region);
    }

    /**
     * IOVAs of pages that the device goes on to translate as the page tables of its domain do not, or no longer do:
     * none, unless an unmap is under way at this moment.
     */
    public final List<Long> staleTranslations() {
        IommuDomain domain = group.domain();
        if (domain == null) {
            return List.of();
        }
        return iotlb.pages(domain.id()).stream()
                .map(page -> page << Linux.PAGE_SHIFT)
                .filter(iova -> isStale(domain, iova))
                .toList();
    }

    private boolean isStale(IommuDomain domain, long iova) {
        int hold = domain.beginDma(iova);
        try {
            long cached = iotlb.lookup(domain.id(), iova >>> Linux.PAGE_SHIFT);
            return cached != 0 && cached != domain.walk(iova);
        } finally {
            domain.endDma(hold);
        }
    }

    final Iotlb iotlb() {
        return iotlb;
    }
}
