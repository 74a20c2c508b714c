// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.Subsystem;
import dev.alcove.kernel.iommu.DomainDump;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.pci.EduDevice;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.pci.nvme.NvmeController;
import dev.alcove.kernel.pci.nvme.NvmeStorage;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The vfio-pci driver, and the PCI functions of the machine: all of them are bound to it; /dev/vfio/vfio, and /dev/vfio/N
 * for each IOMMU group. Thread safe.
 */
public final class VfioPciDriver implements Subsystem {
    private final EmulatedKernel kernel;
    private final Iommu iommu;
    private final Map<IommuGroup, VfioGroup> groups = new HashMap<>();
    /** By number, without the root bus. */
    private final Map<Integer, VfioDeviceSet> buses = new HashMap<>();

    /** By number of the bus: behind a conventional bridge the IOMMU cannot tell functions apart. */
    private final Map<Integer, IommuGroup> bridged = new HashMap<>();

    private final List<PciFunction> functions = new ArrayList<>();
    private int devices;

    /** @param iommu what the functions' DMA goes through */
    public VfioPciDriver(EmulatedKernel kernel, Iommu iommu) {
        this.kernel = kernel;
        this.iommu = iommu;
        kernel.vfs().add("/dev/vfio/vfio", this::openContainer);
    }

    private long openContainer(Task task, int flags) {
        if (!kernel.allocator().charge("vfio container")) {
            return -Errno.ENOMEM;
        }
        VfioContainer container = new VfioContainer(kernel, openFlags(flags), kernel.vfs().nextInode());
        return task.install(container, (flags & Linux.O_CLOEXEC) != 0);
    }

    private static int openFlags(int flags) {
        return (flags & ~Linux.O_CLOEXEC) | Linux.O_LARGEFILE;
    }

    private long openGroup(VfioGroup group, Task task, int flags) {
        VfioGroupFile file = new VfioGroupFile(group, openFlags(flags), kernel.vfs().nextInode());
        int error = group.open(file);
        return error != 0 ? error : task.install(file, (flags & Linux.O_CLOEXEC) != 0);
    }

    /** The group's first device brings its /dev/vfio/N. */
    private VfioGroup newGroup(IommuGroup iommuGroup) {
        VfioGroup group = new VfioGroup(iommuGroup);
        kernel.vfs().add("/dev/vfio/" + iommuGroup.id(), (task, flags) -> openGroup(group, task, flags));
        return group;
    }

    /**
     * Binds a function to the driver; it becomes /dev/vfio/devices/vfioN with the next free N.
     *
     * @param device its place in the IOMMU
     */
    synchronized void bind(PciAddress address, PciFunction function, IommuDevice device) {
        if (devices == 0) {
            // The machine's functions and groups are these and no others, for a program of the host's too.
            kernel.vfs().claim("/sys/bus/pci/devices", true);
            kernel.vfs().claim("/sys/kernel/iommu_groups", true);
            kernel.vfs().claim("/sys/kernel/debug/iommu", true);
        }
        kernel.vfs().addText(
                "/sys/kernel/debug/iommu/intel/" + address + "/domain_translation_struct",
                task -> DomainDump.of(address.toString(), device));
        VfioGroup group = groups.computeIfAbsent(device.group(), this::newGroup);
        VfioDeviceSet set = address.bus() == 0
                ? new VfioDeviceSet(false)
                : buses.computeIfAbsent(address.bus(), bus -> new VfioDeviceSet(true));
        new VfioDevice(kernel, address, function, device, group, set).publish(devices++);
    }

    /**
     * Plugs in an edu device; it becomes /dev/vfio/devices/vfioN with the next free N. On the root bus, 0, it has an IOMMU
     * group of its own; on another one, which is below a conventional bridge, it shares that of the bus.
     *
     * @param dmaBits how many address bits its DMA engine has; QEMU's default is 28
     */
    public synchronized EduDevice addEdu(PciAddress address, int dmaBits) {
        var device = groupAt(address).addDevice(address.requesterId());
        EduDevice edu = new EduDevice(device.dma(), dmaBits);
        bind(address, edu, device);
        functions.add(edu);
        return edu;
    }

    /**
     * Plugs in an NVMe controller, in an IOMMU group as an edu device has it; it becomes the next /dev/vfio/devices/vfioN.
     *
     * @param storage the blocks of its namespace, which it closes; null for none
     */
    public synchronized NvmeController addNvme(PciAddress address, @Nullable NvmeStorage storage) {
        var device = groupAt(address).addDevice(address.requesterId());
        NvmeController nvme = new NvmeController(device.dma(), storage, "alcove");
        bind(address, nvme, device);
        functions.add(nvme);
        return nvme;
    }

    private IommuGroup groupAt(PciAddress address) {
        return address.bus() == 0
                ? iommu.newGroup()
                : bridged.computeIfAbsent(address.bus(), bus -> iommu.newGroup());
    }

    /** Transfers of all devices that never got on the bus, see {@link EduDevice#rejectedTransfers()}. */
    public synchronized long rejectedTransfers() {
        return functions.stream()
                .mapToLong(function -> function instanceof EduDevice edu ? edu.rejectedTransfers() : 0)
                .sum();
    }

    @Override
    public synchronized void close() {
        functions.forEach(PciFunction::close);
        functions.clear();
    }
}
