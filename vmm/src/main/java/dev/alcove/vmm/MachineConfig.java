// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.BadInputException;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vmm.conversion.KernelView;
import dev.alcove.vmm.loader.PvhImage;
import java.io.OutputStream;
import java.util.List;
import java.util.Optional;

/**
 * A machine to build.
 *
 * @param image what it runs
 * @param memory RAM: how much, of what, in which blocks
 * @param cpus 1 to {@value #MAX_CPUS}
 * @param devices the host's PCI functions that the guest gets
 * @param iommuMap how the IOMMU is kept in step with conversions
 * @param checkAlways whether the invariants are checked after every conversion, not only at the end
 * @param kernelView the kernel's own books, where it shows them
 * @param conversions what the guest may convert, and how
 * @param commandLine for the guest
 * @param console gets the guest's serial output; it stays the caller's
 */
public record MachineConfig(
        PvhImage image,
        MemoryConfig memory,
        int cpus,
        Coco coco,
        List<PciAddress> devices,
        IommuMap iommuMap,
        boolean checkAlways,
        Optional<KernelView> kernelView,
        ConversionOptions conversions,
        String commandLine,
        OutputStream console) {
    /** xAPIC ids have 8 bits, and 255 is everybody. */
    public static final int MAX_CPUS = 254;

    /** How the IOMMU is kept in step with conversions. */
    public enum IommuMap {
        /** The best that the kernel can do: cut, else page. */
        AUTO("auto"),
        /** One ioctl for an extent, which is cut where a part of it becomes private. */
        CUT("cut"),
        /** One ioctl for every 4 KiB page. */
        PAGE("page"),
        /** One ioctl for an extent; where a part becomes private, the rest is not mapped for a moment. */
        REMAP("remap");

        private final String label;

        IommuMap(String label) {
            this.label = label;
        }

        /** The name on the command line and in reports. */
        public String label() {
            return label;
        }
    }

    /** A machine that converts as {@link ConversionOptions#standard()} says. */
    public MachineConfig(
            PvhImage image,
            MemoryConfig memory,
            int cpus,
            Coco coco,
            List<PciAddress> devices,
            IommuMap iommuMap,
            boolean checkAlways,
            Optional<KernelView> kernelView,
            String commandLine,
            OutputStream console) {
        this(
                image,
                memory,
                cpus,
                coco,
                devices,
                iommuMap,
                checkAlways,
                kernelView,
                ConversionOptions.standard(),
                commandLine,
                console);
    }

    /** Checks the number of CPUs. */
    public MachineConfig {
        devices = List.copyOf(devices);
        if (cpus < 1 || cpus > MAX_CPUS) {
            throw new BadInputException(cpus + " CPUs: a machine has from 1 to " + MAX_CPUS);
        }
        for (MemoryConfig.NumaNode node : memory.nodes()) {
            if (node.cpus().stream().anyMatch(cpu -> cpu >= cpus)) {
                throw new BadInputException(
                        "a NUMA node has the vCPUs " + node.cpus() + ", and the machine has " + cpus,
                        "raise --cpus");
            }
        }
    }
}
