// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import java.util.ArrayList;
import java.util.List;

/** The PCI functions of a machine that a VFIO driver holds, as sysfs shows them. */
public final class VfioDevices {
    private static final String PCI_DEVICES = "/sys/bus/pci/devices";
    private static final String CDEV_DIRECTORY = "/dev/vfio/devices/";

    private VfioDevices() {}

    /**
     * One function.
     *
     * @param vendor PCI vendor id, or -1 when it cannot be read
     * @param device PCI device id, or -1
     * @param group number of the IOMMU group; empty without an IOMMU
     * @param driver the driver that holds it; empty for none
     * @param cdev path of its character device; empty where the kernel is older than 6.6 or no VFIO driver holds it
     */
    public record Entry(PciAddress address, int vendor, int device, String group, String driver, String cdev) {}

    /** The functions with a VFIO character device, by address. */
    public static List<Entry> list(Syscalls syscalls) {
        Sysfs sysfs = new Sysfs(syscalls);
        List<Entry> entries = new ArrayList<>();
        for (String name : sysfs.list(PCI_DEVICES)) {
            Entry entry = entry(sysfs, PciAddress.parse(name));
            if (!entry.cdev.isEmpty() || entry.driver.startsWith("vfio")) {
                entries.add(entry);
            }
        }
        return List.copyOf(entries);
    }

    /** All functions of an IOMMU group: they can only be used together. */
    public static List<PciAddress> group(Syscalls syscalls, String group) {
        List<PciAddress> members = new ArrayList<>();
        for (String name : new Sysfs(syscalls).list("/sys/kernel/iommu_groups/" + group + "/devices")) {
            members.add(PciAddress.parse(name));
        }
        return List.copyOf(members);
    }

    /**
     * Looks a function up.
     *
     * @throws MissingFeatureException there is no such function
     */
    public static Entry find(Syscalls syscalls, PciAddress address) {
        Sysfs sysfs = new Sysfs(syscalls);
        if (sysfs.list(PCI_DEVICES + "/" + address).isEmpty()) {
            throw new MissingFeatureException("there is no PCI device " + address, "lspci -D lists what there is");
        }
        return entry(sysfs, address);
    }

    /**
     * The path of a function's VFIO character device.
     *
     * @throws MissingFeatureException there is no such function
     * @throws MissingFeatureException no VFIO driver holds it; the hint says how to bind it
     */
    public static String cdev(Syscalls syscalls, PciAddress address) {
        Entry entry = find(syscalls, address);
        if (entry.cdev.isEmpty()) {
            throw new MissingFeatureException(
                    "PCI device " + address + " has no VFIO character device; its driver is "
                            + (entry.driver.isEmpty() ? "none" : entry.driver),
                    "driverctl set-override " + address + " vfio-pci, on a kernel with CONFIG_VFIO_DEVICE_CDEV");
        }
        return entry.cdev;
    }

    /**
     * Looks a function up that can be assigned: by its character device, or by the file of its group.
     *
     * @throws MissingFeatureException there is no such function, or no VFIO driver holds it
     */
    public static Entry findAssignable(Syscalls syscalls, PciAddress address) {
        Entry entry = find(syscalls, address);
        if (entry.cdev.isEmpty() && (!entry.driver.startsWith("vfio") || entry.group.isEmpty())) {
            cdev(syscalls, address);
        }
        return entry;
    }

    /**
     * The path of the file of a function's IOMMU group.
     *
     * @throws MissingFeatureException there is no such function, or it has no group
     */
    public static String groupFile(Syscalls syscalls, PciAddress address) {
        Entry entry = find(syscalls, address);
        if (entry.group.isEmpty()) {
            throw new MissingFeatureException(
                    "PCI device " + address + " has no IOMMU", "switch it on: intel_iommu=on on the kernel's command line");
        }
        return "/dev/vfio/" + entry.group;
    }

    private static Entry entry(Sysfs sysfs, PciAddress address) {
        String directory = PCI_DEVICES + "/" + address;
        List<String> cdevs = sysfs.list(directory + "/vfio-dev");
        return new Entry(
                address,
                sysfs.readHex(directory + "/vendor"),
                sysfs.readHex(directory + "/device"),
                sysfs.linkName(directory + "/iommu_group").orElse(""),
                sysfs.linkName(directory + "/driver").orElse(""),
                cdevs.isEmpty() ? "" : CDEV_DIRECTORY + cdevs.getFirst());
    }
}
