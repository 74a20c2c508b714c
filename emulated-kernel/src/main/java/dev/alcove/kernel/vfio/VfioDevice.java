// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.sys.Linux;
import java.util.Locale;

/**
 * A PCI function that is bound to vfio-pci: the paths by which a VMM finds and opens it.
 *
 * <p>At most one open file owns the function at a time; the monitor of this object guards who.
 */
public final class VfioDevice {
    private final PciAddress address;
    private final PciFunction function;
    private final IommuDevice iommu;
    private final Vfs vfs;
    private final KernelProfile profile;
    private boolean owned;

    /** @param iommu the function's place in the IOMMU */
    public VfioDevice(EmulatedKernel kernel, PciAddress address, PciFunction function, IommuDevice iommu) {
        this.vfs = kernel.vfs();
        this.profile = kernel.profile();
        this.address = address;
        this.function = function;
        this.iommu = iommu;
    }

    /**
     * Puts the device into /dev/vfio and /sys.
     *
     * @param number the n of /dev/vfio/devices/vfioN
     * @param group the number of its IOMMU group
     */
    public void publish(EmulatedKernel kernel, int number, int group) {
        String name = "vfio" + number;
        String sysfs = "/sys/bus/pci/devices/" + address;
        kernel.vfs().add("/dev/vfio/devices/" + name, (task, flags) -> task.install(
                new VfioDeviceFile(this, flags, kernel.vfs().nextInode()), (flags & Linux.O_CLOEXEC) != 0));
        text(kernel, sysfs + "/vendor", "0x%04x", function.configRead(0, 2));
        text(kernel, sysfs + "/device", "0x%04x", function.configRead(2, 2));
        text(kernel, sysfs + "/class", "0x%06x", function.configRead(8, 4) >>> 8);
        text(kernel, sysfs + "/vfio-dev/" + name + "/dev", "511:%d", number);
        kernel.vfs().addLink(sysfs + "/driver", "../../../bus/pci/drivers/vfio-pci");
        kernel.vfs().addLink(sysfs + "/iommu_group", "../../../kernel/iommu_groups/" + group);
        kernel.vfs()
                .addLink("/sys/kernel/iommu_groups/" + group + "/devices/" + address, "../../../../bus/pci/devices/" + address);
    }

    private static void text(EmulatedKernel kernel, String path, String format, int value) {
        kernel.vfs().addText(path, String.format(Locale.ROOT, format, value) + "\n");
    }

    PciFunction function() {
        return function;
    }

    /** A number for a new file of the device. */
    long nextInode() {
        return vfs.nextInode();
    }

    KernelProfile profile() {
        return profile;
    }

    IommuDevice iommu() {
        return iommu;
    }

    /** Takes the function for one open file; false when another one has it. */
    synchronized boolean own() {
        if (owned) {
            return false;
        }
        owned = true;
        return true;
    }

    synchronized void disown() {
        owned = false;
    }
}
