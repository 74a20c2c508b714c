// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.CutStrategy;
import dev.alcove.vfio.MapStrategy;
import dev.alcove.vfio.PageStrategy;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.device.Board;
import dev.alcove.vmm.device.PassthroughDevice;

/**
 * A device of the host with its own I/O address space, in which the guest's shared memory is mapped.
 *
 * @param mapper keeps the I/O address space equal to the guest's shared memory
 * @param function what the guest sees on its PCI bus
 */
record AssignedDevice(VfioDmaMapper mapper, PassthroughDevice function) {
    /**
     * Opens the device and maps what is shared now. The order: address space, its strategy (which must be set up
     * before a device is attached), bind and attach, mappings.
     *
     * @param resources gets everything that has to be closed
     */
    static AssignedDevice create(
            Syscalls syscalls,
            PciAddress address,
            MachineConfig.IommuMap iommuMap,
            GuestMemory memory,
            Board board,
            CloseStack resources) {
        IommuFd iommu = resources.add(IommuFd.open(syscalls));
        Ioas ioas = resources.add(iommu.ioasAlloc());
        MapStrategy strategy = switch (iommuMap) {
            case CUT -> CutStrategy.prepare(ioas);
            case PAGE -> new PageStrategy(ioas);
        };
        VfioDevice device = resources.add(VfioDevice.open(syscalls, address));
        device.bind(iommu);
        if (device.info().resettable()) {
            device.reset();
        }
        device.attach(ioas);
        VfioDmaMapper mapper = resources.add(new VfioDmaMapper(strategy));
        for (RamBlock block : memory.blocks()) {
            Outcome outcome = mapper.add(block.discards(), new Iova(block.range().start().value()), block.hva());
            if (outcome instanceof Outcome.Refused refused) {
                throw new MissingFeatureException("mapping " + block + " for device " + address + ": "
                        + refused.reason());
            } else if (outcome instanceof Outcome.Unsafe unsafe) {
                throw new MissingFeatureException("mapping " + block + " for device " + address + ": "
                        + unsafe.reason());
            }
        }
        return new AssignedDevice(mapper, resources.add(PassthroughDevice.create(device, board)));
    }
}
