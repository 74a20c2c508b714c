// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A PCI function that is bound to vfio-pci ({@code struct vfio_device}): the paths by which a VMM finds and opens it, and
 * who has it open.
 *
 * <p>Lock: the monitor of its {@link VfioDeviceSet}. What an open device is can be read without.
 */
final class VfioDevice {
    private final PciAddress address;
    private final PciFunction function;
    private final IommuDevice iommu;
    private final VfioGroup group;
    private final VfioDeviceSet set;
    private final Vfs vfs;
    private final KernelProfile profile;
    private final Allocator allocator;
    private int opens;
    private boolean openedByCdev;
    private @Nullable VfioAttachment attachment;
    private volatile @Nullable EnabledFunction enabled;

    /** @param iommu the function's place in the IOMMU */
    VfioDevice(
            EmulatedKernel kernel,
            PciAddress address,
            PciFunction function,
            IommuDevice iommu,
            VfioGroup group,
            VfioDeviceSet set) {
        this.vfs = kernel.vfs();
        this.profile = kernel.profile();
        this.allocator = kernel.allocator();
        this.address = address;
        this.function = function;
        this.iommu = iommu;
        this.group = group;
        this.set = set;
        group.add(this);
        set.add(this);
    }

    /**
     * Puts the device into /dev/vfio and /sys.
     *
     * @param number the n of /dev/vfio/devices/vfioN
     */
    void publish(int number) {
        String name = "vfio" + number;
        String sysfs = "/sys/bus/pci/devices/" + address;
        int groupId = iommu.group().id();
        vfs.add("/dev/vfio/devices/" + name, (task, flags) -> task.install(
                new VfioDeviceFile(this, flags, vfs.nextInode()), (flags & Linux.O_CLOEXEC) != 0));
        text(sysfs + "/vendor", "0x%04x", function.configRead(0, 2));
        text(sysfs + "/device", "0x%04x", function.configRead(2, 2));
        text(sysfs + "/class", "0x%06x", function.configRead(8, 4) >>> 8);
        text(sysfs + "/vfio-dev/" + name + "/dev", "511:%d", number);
        vfs.addLink(sysfs + "/driver", "../../../bus/pci/drivers/vfio-pci");
        vfs.addLink(sysfs + "/iommu_group", "../../../kernel/iommu_groups/" + groupId);
        vfs.addLink("/sys/kernel/iommu_groups/" + groupId + "/devices/" + address, "../../../../bus/pci/devices/" + address);
    }

    private void text(String path, String format, int value) {
        vfs.addText(path, String.format(Locale.ROOT, format, value) + "\n");
    }

    PciAddress address() {
        return address;
    }

    PciFunction function() {
        return function;
    }

    VfioGroup group() {
        return group;
    }

    VfioDeviceSet set() {
        return set;
    }

    /** A number for a new file of the device. */
    long nextInode() {
        return vfs.nextInode();
    }

    KernelProfile profile() {
        return profile;
    }

    /** Charged for whatever a call on the device needs. */
    Allocator allocator() {
        return allocator;
    }

    IommuDevice iommu() {
        return iommu;
    }

    /** What the device's files work on; null while none is open. */
    @Nullable EnabledFunction enabled() {
        return enabled;
    }

    /** How the device is bound to iommufd; null while it is not. The caller holds the set's monitor. */
    @Nullable VfioAttachment attachment() {
        return attachment;
    }

    /** Whether the file that has it open is that of /dev/vfio/devices. The caller holds the set's monitor. */
    boolean openedByCdev() {
        return openedByCdev;
    }

    /** Whether it is open now, for the first time. The caller holds the set's monitor. */
    boolean openedOnce() {
        return opens == 1;
    }

    /**
     * Opens the device for one more file ({@code vfio_df_open}); only files that a group gave can be more than one. The
     * caller holds the set's monitor, and for a file of the group its monitor.
     *
     * @param context the iommufd to bind to; null where the group's container has the device
     * @return 0; {@code -EINVAL} open already, or a container without IOMMU; {@code -ENOMEM}; what binding answers
     */
    int open(@Nullable IommufdContext context, boolean byCdev) {
        if (opens > 0 && byCdev) {
            return -Errno.EINVAL;
        }
        if (opens == 0) {
            int error = context == null ? group.useContainer() : bind(context);
            if (error != 0) {
                return error;
            }
            if (!allocator.charge("configuration map of a vfio device") || !allocator.charge("vfio configuration space")) {
                unuse();
                return -Errno.ENOMEM;
            }
            enabled = EnabledFunction.enable(this);
            openedByCdev = byCdev;
        }
        opens++;
        return 0;
    }

    private int bind(IommufdContext context) {
        long id = context.bindDevice(iommu);
        if (id < 0) {
            return (int) id;
        }
        attachment = new VfioAttachment(context, id);
        return 0;
    }

    /** Undoes one {@link #open}; the locks are those of it. */
    void close() {
        if (--opens > 0) {
            return;
        }
        EnabledFunction state = enabled;
        enabled = null;
        openedByCdev = false;
        if (state != null) {
            state.disable();
            set.closed();
        }
        unuse();
    }

    private void unuse() {
        VfioAttachment bound = attachment;
        attachment = null;
        if (bound == null) {
            group.unuseContainer();
        } else {
            bound.close();
        }
    }

    /** The bus is reset; whoever holds registers as a dma-buf loses them. The caller holds the set's monitor. */
    void reset() {
        EnabledFunction state = enabled;
        if (state == null) {
            function.reset();
        } else {
            state.reset();
        }
    }
}
