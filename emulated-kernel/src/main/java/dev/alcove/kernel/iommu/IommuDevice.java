// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.List;

/** A function's place behind the IOMMU. */
public final class IommuDevice {
    /** Where x86 takes message signalled interrupts: translated by interrupt remapping, never by a domain. */
    public static final ReservedRegion MSI_WINDOW =
            new ReservedRegion(0xfee0_0000L, 0xfeef_ffffL, ReservedRegion.Type.MSI);

    private final IommuGroup group;
    private final int requesterId;
    private final Iotlb iotlb = new Iotlb();
    private final DmaPort dma;
    private volatile List<ReservedRegion> reservedRegions = List.of(MSI_WINDOW);

    IommuDevice(IommuGroup group, int requesterId) {
        this.group = group;
        this.requesterId = requesterId;
        this.dma = new DmaPort(this);
    }

    /** The group that the device is in. */
    public IommuGroup group() {
        return group;
    }

    /** Bus, device and function (16 bits). */
    public int requesterId() {
        return requesterId;
    }

    /** How the device model reaches memory. */
    public DmaPort dma() {
        return dma;
    }

    /** IOVA ranges that no mapping may take. */
    public List<ReservedRegion> reservedRegions() {
        return reservedRegions;
    }

    /** Replaces the reserved regions; takes effect at the next attach. */
    public void setReservedRegions(List<ReservedRegion> regions) {
        reservedRegions = List.copyOf(regions);
    }

    /** Whether DMA snoops the caches (IOMMU_CAP_CACHE_COHERENCY): always, on this machine. */
    public boolean cacheCoherent() {
        return true;
    }

    /** Whether an MSI of this device can reach only its own vectors (interrupt remapping). */
    public boolean isolatedMsi() {
        return true;
    }

    /** Whether the IOMMU records which pages DMA wrote. */
    public boolean dirtyTracking() {
        return false;
    }

    Iotlb iotlb() {
        return iotlb;
    }
}
