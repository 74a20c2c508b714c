// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Devices that the IOMMU cannot tell apart: they share one domain, and one owner of their DMA.
 *
 * <p>Lock: the group's monitor, for owner, devices and changes of the domain; the domain's own lock nests inside.
 */
public final class IommuGroup {
    private final Iommu iommu;
    private final int id;
    private final List<IommuDevice> devices = new ArrayList<>();
    private @Nullable Object owner;
    private int ownerClaims;
    private volatile @Nullable IommuDomain domain;

    IommuGroup(Iommu iommu, int id) {
        this.iommu = iommu;
        this.id = id;
    }

    /** The group's number, as in {@code /sys/kernel/iommu_groups}. */
    public int id() {
        return id;
    }

    Iommu iommu() {
        return iommu;
    }

    /**
     * Puts a function into the group.
     *
     * @param requesterId bus, device and function as a PCI requester id (16 bits)
     */
    public synchronized IommuDevice addDevice(int requesterId) {
        IommuDevice device = new IommuDevice(this, requesterId);
        devices.add(device);
        IommuDomain current = domain;
        if (current != null) {
            current.addDevice(device);
        }
        return device;
    }

    /** The functions of the group. */
    public synchronized List<IommuDevice> devices() {
        return List.copyOf(devices);
    }

    /**
     * Claims the group's DMA for one owner ({@code iommu_device_claim_dma_owner}). Claims of the same owner count.
     *
     * @return 0, or {@code -EBUSY} when another one owns it
     */
    public synchronized int claimDmaOwner(Object claimant) {
        if (owner != null && owner != claimant) {
            return -Errno.EBUSY;
        }
        owner = claimant;
        ownerClaims++;
        return 0;
    }

    /** Undoes one {@link #claimDmaOwner}. */
    public synchronized void releaseDmaOwner() {
        if (--ownerClaims == 0) {
            owner = null;
        }
    }

    /** The domain that translates for the group, or null when all its DMA is blocked. */
    public @Nullable IommuDomain domain() {
        return domain;
    }

    /**
     * Puts the group's devices behind another domain, at once for each transfer of a page.
     * On return no DMA uses the old domain any more.
     *
     * @param next the new domain, or null to block all DMA
     */
    public synchronized void setDomain(@Nullable IommuDomain next) {
        IommuDomain old = domain;
        if (old == next) {
            return;
        }
        if (next != null) {
            devices.forEach(next::addDevice);
        }
        domain = next;
        if (old != null) {
            old.drain();
            devices.forEach(old::removeDevice);
        }
    }
}
