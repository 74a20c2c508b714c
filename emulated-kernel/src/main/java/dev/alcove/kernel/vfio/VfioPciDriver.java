// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.Subsystem;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.pci.EduDevice;
import dev.alcove.kernel.pci.PciAddress;
import java.util.ArrayList;
import java.util.List;

/** The vfio-pci driver, and the PCI functions of the machine: all of them are bound to it. Thread safe. */
public final class VfioPciDriver implements Subsystem {
    private final EmulatedKernel kernel;
    private final Iommu iommu;
    private final List<EduDevice> functions = new ArrayList<>();

    /** @param iommu what the functions' DMA goes through */
    public VfioPciDriver(EmulatedKernel kernel, Iommu iommu) {
        this.kernel = kernel;
        this.iommu = iommu;
    }

    /**
     * Plugs in an edu device in an IOMMU group of its own; it becomes /dev/vfio/devices/vfioN with the next free N.
     *
     * @param dmaBits how many address bits its DMA engine has; QEMU's default is 28
     */
    public synchronized EduDevice addEdu(PciAddress address, int dmaBits) {
        IommuGroup group = iommu.newGroup();
        var device = group.addDevice(address.requesterId());
        EduDevice edu = new EduDevice(device.dma(), dmaBits);
        new VfioDevice(kernel, address, edu, device).publish(kernel, functions.size(), group.id());
        functions.add(edu);
        return edu;
    }

    /** Transfers of all devices that never got on the bus, see {@link EduDevice#rejectedTransfers()}. */
    public synchronized long rejectedTransfers() {
        return functions.stream().mapToLong(EduDevice::rejectedTransfers).sum();
    }

    @Override
    public synchronized void close() {
        functions.forEach(EduDevice::close);
        functions.clear();
    }
}
