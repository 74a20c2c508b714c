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
    private final IommuDriver driver;
    private final int id;
    private final List<IommuDevice> devices = new ArrayList<>();
    private @Nullable Object owner;
    private int ownerClaims;
    private @Nullable Domain attached;
    private volatile @Nullable IommuDomain domain;

    IommuGroup(Iommu iommu, IommuDriver driver, int id) {
        this.iommu = iommu;
        this.driver = driver;
        this.id = id;
    }

    /** The group's number, as in {@code /sys/kernel/iommu_groups}. */
    public int id() {
        return id;
    }

    /** Whose group it is. */
    public IommuDriver driver() {
        return driver;
    }

    Iommu iommu() {
        return iommu;
    }

    /**
     * Puts a function into the group.
     *
     * @param requesterId bus, device and function as a PCI requester id (16 bits)
     */
    public IommuDevice addDevice(int requesterId) {
        IommuDevice device = new IommuDevice(this, requesterId, List.of(IommuDevice.MSI_WINDOW));
        addDevice(device);
        return device;
    }

    /** Puts a device into the group that its driver has made for it. */
    public synchronized void addDevice(IommuDevice device) {
        devices.add(device);
        IommuDomain current = domain;
        if (current != null) {
            current.addDevice(device);
        }
    }

    /** The functions of the group. */
    public synchronized List<IommuDevice> devices() {
        return List.copyOf(devices);
    }

    /**
     * Claims the group's DMA for one owner ({@code iommu_device_claim_dma_owner}). Claims of the same owner count.
     *
     * @return 0, or {@code -EPERM} when another one owns it
     */
    public synchronized int claimDmaOwner(Object claimant) {
        if (owner != null && owner != claimant) {
            return -Errno.EPERM;
        }
        owner = claimant;
        ownerClaims++;
        return 0;
    }

    /**
     * Claims the DMA of the group as a whole ({@code iommu_group_claim_dma_owner}): only while nobody owns it.
     *
     * @return 0 or {@code -EPERM}
     */
    public synchronized int claimWholeGroup(Object claimant) {
        return owner == null ? claimDmaOwner(claimant) : -Errno.EPERM;
    }

    /** Whether somebody owns the group's DMA. */
    public synchronized boolean owned() {
        return owner != null;
    }

    /** Undoes one claim. */
    public synchronized void releaseDmaOwner() {
        if (--ownerClaims == 0) {
            owner = null;
        }
    }

    /** The page table that translates for the group, or null when all its DMA is blocked. */
    public @Nullable IommuDomain domain() {
        return domain;
    }

    /** What the group's devices are behind; null when all its DMA is blocked. */
    public synchronized @Nullable Domain attached() {
        return attached;
    }

    /**
     * Puts the group's devices behind another domain, at once for each transfer of a page.
     * On return no DMA uses the old domain any more.
     *
     * @param next the new domain, or null to block all DMA
     * @return 0; {@code -EINVAL} the domain is of another driver; what the driver answers. On an error nothing changes.
     */
    public synchronized int setDomain(@Nullable Domain next) {
        Domain old = attached;
        if (old == next) {
            return 0;
        }
        if (next != null && next.driver() != driver) {
            return -Errno.EINVAL;
        }
        for (int i = 0; i < devices.size(); i++) {
            int error = driver.attach(devices.get(i), next, old);
            if (error != 0) {
                while (--i >= 0) {
                    driver.attach(devices.get(i), old, next);
                }
                return error;
            }
        }
        attached = next;
        translateWith(next == null ? null : next.paging());
        return 0;
    }

    /**
     * Puts the DMA that the group's devices make with a PASID behind another domain; devices that know no PASIDs are
     * left out.
     *
     * @param pasid above 0, unsigned
     * @param next null to block it
     * @param old what it is behind now
     * @return 0; {@code -EINVAL} the domain is of another driver, or a device has not so many PASIDs; what the driver
     *     answers. On an error nothing changes.
     */
    public synchronized int setPasidDomain(int pasid, @Nullable Domain next, @Nullable Domain old) {
        if (next != null && next.driver() != driver) {
            return -Errno.EINVAL;
        }
        List<IommuDevice> able = devices.stream().filter(each -> driver.maxPasids(each) > 0).toList();
        if (old == null && able.stream().anyMatch(each -> Integer.compareUnsigned(pasid, driver.maxPasids(each)) >= 0)) {
            return -Errno.EINVAL;
        }
        for (int i = 0; i < able.size(); i++) {
            int error = driver.attachPasid(able.get(i), pasid, next, old);
            if (error != 0) {
                while (--i >= 0) {
                    driver.attachPasid(able.get(i), pasid, old, next);
                }
                return error;
            }
        }
        return 0;
    }

    private void translateWith(@Nullable IommuDomain next) {
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
