// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.discard.DiscardRules;
import dev.alcove.discard.DiscardRules.Rule;
import dev.alcove.discard.Outcome;
import dev.alcove.memory.GuestMemory;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.MapCounters;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioContainer;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioDevices;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.conversion.InvariantChecker;
import dev.alcove.vmm.device.Board;
import dev.alcove.vmm.device.PassthroughDevice;
import dev.alcove.vmm.device.PciHost;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;

/**
 * The host's devices that a guest has. They come and go while vCPUs convert memory. Devices share an I/O address space
 * where the kernel lets them; one that cannot gets another.
 *
 * <p>Thread safe: the monitor protects everything. The order of locks: ranges of conversions, this monitor, the discard
 * managers. A conversion never asks for the monitor while it runs.
 */
final class AssignedDevices implements InvariantChecker.Mappers, AutoCloseable {
    private final Syscalls syscalls;
    private final MachineConfig.IommuMap how;
    private final GuestMemory memory;
    private final Board board;
    private final PciHost pci;
    private final DiscardRules discards;
    private final List<DeviceSpace> spaces = new ArrayList<>();
    private final Map<PciAddress, Assigned> devices = new LinkedHashMap<>();
    /** What address spaces have cost that are gone. */
    private long pastMaps;
    private long pastUnmaps;
    private String lastStrategy = "none";

    /** A device: where its DMA goes, the kernel's side of it, and what the guest sees on its bus. */
    private record Assigned(DeviceSpace space, VfioDevice device, PassthroughDevice function) {}

    AssignedDevices(
            Syscalls syscalls,
            MachineConfig.IommuMap how,
            GuestMemory memory,
            Board board,
            PciHost pci,
            DiscardRules discards) {
        this.syscalls = syscalls;
        this.how = how;
        this.memory = memory;
        this.board = board;
        this.pci = pci;
        this.discards = discards;
    }

    /**
     * Gives the guest a device.
     *
     * @throws BadInputException the guest has it
     */
    synchronized void add(PciAddress address) {
        if (devices.containsKey(address)) {
            throw new BadInputException("the guest has device " + address + " already");
        }
        follow(address);
        CloseStack undo = new CloseStack();
        undo.add(() -> unfollow(address));
        try {
            DeviceSpace[] joined = new DeviceSpace[1];
            VfioDevice device = join(address, joined);
            DeviceSpace space = Objects.requireNonNull(joined[0]);
            undo.add(() -> leave(space, device));
            PassthroughDevice function = undo.add(PassthroughDevice.create(device, board));
            pci.add(function);
            devices.put(address, new Assigned(space, device, function));
        } catch (RuntimeException e) {
            try {
                undo.close();
            } catch (RuntimeException second) {
                e.addSuppressed(second);
            }
            throw e;
        }
    }

    /** All strategies follow the discard managers: memory may go, but not without telling. */
    private void follow(PciAddress address) {
        if (discards.hold(Rule.UNCOORDINATED_DISABLE, "device " + address) instanceof Outcome.Refused refused) {
            throw new MissingFeatureException(refused.reason());
        }
    }

    private void unfollow(PciAddress address) {
        discards.release(Rule.UNCOORDINATED_DISABLE, "device " + address);
    }

    private VfioDevice join(PciAddress address, DeviceSpace[] joined) {
        for (DeviceSpace space : spaces) {
            try {
                VfioDevice device = space.join(address);
                joined[0] = space;
                return device;
            } catch (SyscallException refused) {
                if (!isMisfit(refused.errno())) {
                    throw refused;
                }
            }
        }
        DeviceSpace fresh = VfioDevices.findAssignable(syscalls, address).cdev().isEmpty()
                ? DeviceSpace.container(VfioContainer.open(syscalls), how, memory)
                : DeviceSpace.iommufd(syscalls, how, memory);
        try {
            VfioDevice device = fresh.join(address);
            spaces.add(fresh);
            joined[0] = fresh;
            lastStrategy = Objects.requireNonNull(fresh.mapper()).strategy().name();
            return device;
        } catch (RuntimeException e) {
            fresh.close();
            throw e;
        }
    }

    /** Whether a device may fit into another address space: this one has what it reserves, or another IOMMU's form. */
    private static boolean isMisfit(int errno) {
        return errno == Errno.EADDRINUSE || errno == Errno.EINVAL || errno == Errno.EPERM || errno == Errno.ENODEV;
    }

    /**
     * Takes a device from the guest: out of its bus, its DMA ended, and with the last one the mappings gone. Whatever
     * the kernel refuses meanwhile, the device is gone in the end.
     *
     * @throws BadInputException the guest does not have it
     */
    synchronized void remove(PciAddress address) {
        Assigned assigned = devices.remove(address);
        if (assigned == null) {
            throw new BadInputException("the guest has no device " + address);
        }
        pci.remove(assigned.function());
        try (CloseStack parts = new CloseStack()) {
            parts.add(() -> unfollow(address));
            parts.add(() -> leave(assigned.space(), assigned.device()));
            parts.add(assigned.function());
        }
    }

    private void leave(DeviceSpace space, VfioDevice device) {
        space.leave(device);
        if (space.isEmpty()) {
            spaces.remove(space);
            VfioDmaMapper mapper = space.mapper();
            if (mapper != null) {
                pastMaps += mapper.counters().mapIoctls();
                // Closing unmaps each block's populated runs: those ioctls are counted before they are lost.
                space.close();
                pastUnmaps += mapper.counters().unmapIoctls();
            } else {
                space.close();
            }
        }
    }

    /** The devices that the guest has. */
    synchronized List<PciAddress> list() {
        return List.copyOf(devices.keySet());
    }

    @Override
    public synchronized <T> T call(Function<List<VfioDmaMapper>, T> use) {
        return use.apply(mappers());
    }

    private List<VfioDmaMapper> mappers() {
        return spaces.stream().map(DeviceSpace::mapper).filter(Objects::nonNull).toList();
    }

    /** What the IOMMU has cost so far. */
    synchronized RunReport.Iommu report() {
        long maps = pastMaps;
        long unmaps = pastUnmaps;
        long bytes = 0;
        for (VfioDmaMapper mapper : mappers()) {
            MapCounters counters = mapper.counters();
            maps += counters.mapIoctls();
            unmaps += counters.unmapIoctls();
            bytes += counters.mappedBytes();
        }
        return new RunReport.Iommu(lastStrategy, maps, unmaps, bytes);
    }

    @Override
    public synchronized void close() {
        try (CloseStack all = new CloseStack()) {
            devices.keySet().forEach(address -> all.add(() -> remove(address)));
        }
    }
}
