// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_group_status;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;

import static dev.alcove.sys.SyscallException.check;
import static java.lang.foreign.ValueLayout.JAVA_INT;

/**
 * An IOMMU group behind {@code /dev/vfio/N}: devices that only can be used together. The order is open,
 * {@link #join} a container, {@link VfioContainer#setIommu()}, {@link #device}. Devices are closed before the group.
 */
public final class VfioGroup extends KernelFile {
    private final String path;

    private VfioGroup(Syscalls syscalls, int fd, String path) {
        super(syscalls, fd);
        this.path = path;
    }

    /** Opens the group of a PCI function. */
    public static VfioGroup open(Syscalls syscalls, PciAddress address) {
        return open(syscalls, VfioDevices.groupFile(syscalls, address));
    }

    /**
     * Opens a group.
     *
     * @param path such as {@code /dev/vfio/7}
     * @throws SyscallException ENOENT, EACCES; EBUSY it is open already, or a device of it through its own file
     */
    public static VfioGroup open(Syscalls syscalls, String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            throw new SyscallException("open", path, fd, switch (-fd) {
                case Errno.EACCES, Errno.EPERM -> "give the user access (sudo setfacl -m u:$USER:rw " + path + ")";
                case Errno.EBUSY -> "another process has the group, or a device of it, open";
                case Errno.ENOENT -> "the group has no device with a VFIO driver, or the kernel no CONFIG_VFIO_GROUP";
                default -> null;
            });
        }
        return new VfioGroup(syscalls, fd, path);
    }

    /** Whether all devices of the group have a VFIO driver or none (VFIO_GROUP_GET_STATUS). */
    public boolean isViable() {
        return (status() & vfio.VFIO_GROUP_FLAGS_VIABLE()) != 0;
    }

    /** Whether the group has joined a container. */
    public boolean hasContainer() {
        return (status() & vfio.VFIO_GROUP_FLAGS_CONTAINER_SET()) != 0;
    }

    private int status() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = vfio_group_status.allocate(arena);
            vfio_group_status.argsz(status, (int) vfio_group_status.sizeof());
            check(syscalls.ioctl(fd(), vfio.VFIO_GROUP_GET_STATUS(), status), "VFIO_GROUP_GET_STATUS", path);
            return vfio_group_status.flags(status);
        }
    }

    /**
     * VFIO_GROUP_SET_CONTAINER: the group's devices will use this address space.
     *
     * @throws SyscallException EINVAL it has one already; EBUSY a device has a driver of the host; EPERM interrupts are
     *     not isolated
     */
    public void join(VfioContainer container) {
        try (Arena arena = Arena.ofConfined()) {
            int answer = syscalls.ioctl(
                    fd(), vfio.VFIO_GROUP_SET_CONTAINER(), arena.allocateFrom(JAVA_INT, container.fd()));
            if (answer < 0) {
                throw new SyscallException("VFIO_GROUP_SET_CONTAINER", path, answer, switch (-answer) {
                    case Errno.EBUSY, Errno.EPERM -> "bind every device of the group to vfio-pci";
                    default -> null;
                });
            }
        }
    }

    /** VFIO_GROUP_UNSET_CONTAINER; EBUSY while a device is open. The last group takes all mappings with it. */
    public void leave() {
        check(syscalls.ioctl(fd(), vfio.VFIO_GROUP_UNSET_CONTAINER(), 0), "VFIO_GROUP_UNSET_CONTAINER", path);
    }

    /**
     * VFIO_GROUP_GET_DEVICE_FD: a device of the group, ready for use.
     *
     * @throws SyscallException EINVAL no container; ENODEV no such device here
     */
    public VfioDevice device(PciAddress address) {
        try (Arena arena = Arena.ofConfined()) {
            int fd = syscalls.ioctl(
                    fd(),
                    vfio.VFIO_GROUP_GET_DEVICE_FD(),
                    arena.allocateFrom(address.toString(), StandardCharsets.US_ASCII));
            return VfioDevice.ofGroup(
                    syscalls, check(fd, "VFIO_GROUP_GET_DEVICE_FD", path + " device " + address), path + " " + address);
        }
    }

    /** The path that was opened. */
    @Override
    public String toString() {
        return path;
    }
}
