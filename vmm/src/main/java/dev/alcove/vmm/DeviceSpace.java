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
import dev.alcove.vfio.DmaSource;
import dev.alcove.vfio.DmaSpace;
import dev.alcove.vfio.IoasSpace;
import dev.alcove.vfio.MapStrategy;
import dev.alcove.vfio.PageStrategy;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.RemapStrategy;
import dev.alcove.vfio.VfioContainer;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioDevices;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vfio.VfioGroup;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * An I/O address space with the guest's shared memory in it, and the devices that use it. Not thread safe: its owner's
 * lock protects it.
 */
final class DeviceSpace implements AutoCloseable {
    private final Members members;
    private final MachineConfig.IommuMap how;
    private final GuestMemory memory;
    private final Set<VfioDevice> devices = new HashSet<>();
    private @Nullable VfioDmaMapper mapper;

    /** Either interface of the kernel, seen from a device. */
    private interface Members extends AutoCloseable {
        /** Opens a device and puts it into the address space. */
        VfioDevice join(PciAddress address);

        /** The address space; once a device has joined. */
        DmaSpace space();

        @Override
        void close();
    }

    private DeviceSpace(Members members, MachineConfig.IommuMap how, GuestMemory memory) {
        this.members = members;
        this.how = how;
        this.memory = memory;
    }

    /** An IOAS of iommufd of its own, because a context can cut in one IOAS only. */
    static DeviceSpace iommufd(Syscalls syscalls, MachineConfig.IommuMap how, GuestMemory memory) {
        return new DeviceSpace(new OfIommufd(syscalls, how), how, memory);
    }

    /**
     * The older interface, for devices without a file of their own.
     *
     * @param container takes groups; closed with the space
     */
    static DeviceSpace container(VfioContainer container, MachineConfig.IommuMap how, GuestMemory memory) {
        return new DeviceSpace(new OfContainer(container), how, memory);
    }

    /** What keeps it equal to the guest's shared memory; null before the first device. */
    @Nullable
    VfioDmaMapper mapper() {
        return mapper;
    }

    boolean isEmpty() {
        return devices.isEmpty();
    }

    /**
     * Puts a device into the address space, and with the first one the guest's shared memory: a device that reserves
     * addresses must say so before.
     *
     * @return the device, which {@link #leave} closes
     * @throws dev.alcove.sys.AlcoveException what is wrong. With the first device the space is of no use then: close it
     */
    VfioDevice join(PciAddress address) {
        VfioDevice device = members.join(address);
        devices.add(device);
        try {
            if (mapper == null) {
                VfioDmaMapper created = new VfioDmaMapper(strategy(members.space()), memory.bytes());
                // Known before it maps anything: close() takes back what it has mapped until something is refused.
                mapper = created;
                for (RamBlock block : memory.blocks()) {
                    check(created, block, address);
                }
            }
            return device;
        } catch (RuntimeException e) {
            leave(device);
            throw e;
        }
    }

    private MapStrategy strategy(DmaSpace space) {
        return switch (how) {
            case AUTO -> MapStrategy.choose(space);
            case CUT -> {
                if (!space.cuts()) {
                    throw new MissingFeatureException(
                            space + " cannot be cut", "use --iommu-map auto or page, or a kernel with iommufd");
                }
                yield new CutStrategy(space);
            }
            case PAGE -> new PageStrategy(space);
            case REMAP -> new RemapStrategy(space);
        };
    }

    private static void check(VfioDmaMapper mapper, RamBlock block, PciAddress address) {
        DmaSource source = block.backing()
                .file()
                .map(file -> DmaSource.of(block.hva(), file.fd(), file.offset()))
                .orElse(DmaSource.of(block.hva()));
        Outcome outcome = mapper.add(block.discards(), new Iova(block.range().start().value()), source);
        String what = "mapping " + block + " for device " + address + ": ";
        if (outcome instanceof Outcome.Refused refused) {
            throw new MissingFeatureException(what + refused.reason());
        } else if (outcome instanceof Outcome.Unsafe unsafe) {
            throw new MissingFeatureException(what + unsafe.reason());
        }
    }

    /** Ends a device's DMA and takes it out. */
    void leave(VfioDevice device) {
        devices.remove(device);
        device.close();
    }

    /**
     * Takes all devices out, then unmaps the guest's memory. Complete in any case: what cannot be unmapped goes with the
     * address space, and until it is gone no conversion relies on it.
     */
    @Override
    public void close() {
        Set.copyOf(devices).forEach(this::leave);
        VfioDmaMapper last = mapper;
        mapper = null;
        if (last == null) {
            members.close();
        } else {
            last.closeWith(members::close);
        }
    }

    /** Devices with a file of their own. */
    private static final class OfIommufd implements Members {
        private final Syscalls syscalls;
        private final CloseStack files = new CloseStack();
        private final IommuFd iommu;
        private final IoasSpace space;

        /** The strategy comes first: it must be set up before a device is attached. */
        OfIommufd(Syscalls syscalls, MachineConfig.IommuMap how) {
            this.syscalls = syscalls;
            try {
                iommu = files.add(IommuFd.open(syscalls));
                Ioas ioas = files.add(iommu.ioasAlloc());
                space = switch (how) {
                    case AUTO -> IoasSpace.best(ioas);
                    case CUT -> IoasSpace.cutting(ioas);
                    case PAGE, REMAP -> IoasSpace.of(ioas);
                };
            } catch (RuntimeException e) {
                files.close();
                throw e;
            }
        }

        @Override
        public VfioDevice join(PciAddress address) {
            VfioDevice device = VfioDevice.open(syscalls, address);
            try {
                device.bind(iommu);
                reset(device);
                device.attach(space.ioas());
                return device;
            } catch (RuntimeException e) {
                device.close();
                throw e;
            }
        }

        @Override
        public DmaSpace space() {
            return space;
        }

        @Override
        public void close() {
            files.close();
        }
    }

    /** Devices of groups. A group stays until the space goes: its last one would take the mappings with it. */
    private static final class OfContainer implements Members {
        private final VfioContainer container;
        private final Map<String, VfioGroup> groups = new HashMap<>();

        OfContainer(VfioContainer container) {
            this.container = container;
        }

        @Override
        public VfioDevice join(PciAddress address) {
            VfioDevice device = group(VfioDevices.groupFile(container.syscalls(), address)).device(address);
            try {
                reset(device);
                return device;
            } catch (RuntimeException e) {
                device.close();
                throw e;
            }
        }

        private VfioGroup group(String path) {
            VfioGroup known = groups.get(path);
            if (known != null) {
                return known;
            }
            VfioGroup group = VfioGroup.open(container.syscalls(), path);
            try {
                group.join(container);
                if (groups.isEmpty()) {
                    container.setIommu();
                }
            } catch (RuntimeException e) {
                group.close();
                throw e;
            }
            groups.put(path, group);
            return group;
        }

        @Override
        public DmaSpace space() {
            return container;
        }

        @Override
        public void close() {
            groups.values().forEach(VfioGroup::close);
            groups.clear();
            container.close();
        }
    }

    private static void reset(VfioDevice device) {
        if (device.info().resettable()) {
            device.reset();
        }
    }
}
