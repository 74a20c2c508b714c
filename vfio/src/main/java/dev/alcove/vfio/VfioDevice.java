// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_device_attach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_device_bind_iommufd;
import dev.alcove.bindings.vfio.vfio_device_detach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_device_info;
import dev.alcove.bindings.vfio.vfio_irq_info;
import dev.alcove.bindings.vfio.vfio_irq_set;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.iommufd.LockedMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

import static dev.alcove.sys.SyscallException.check;
import static java.lang.foreign.ValueLayout.JAVA_INT;

/**
 * A device behind its VFIO character device ({@code /dev/vfio/devices/vfioN}). The order is open, {@link #bind},
 * {@link #attach}, use, close; before {@link #bind} all but it answers EINVAL. Close detaches, unbinds and ends the
 * device's DMA. A device of a {@link VfioGroup} is the container's already: it is neither bound nor attached.
 */
public final class VfioDevice extends KernelFile {
    private final String name;

    private VfioDevice(Syscalls syscalls, int fd, String name) {
        super(syscalls, fd);
        this.name = name;
    }

    /** A device that its group has handed out. */
    static VfioDevice ofGroup(Syscalls syscalls, int fd, String name) {
        return new VfioDevice(syscalls, fd, name);
    }

    /** Opens the character device of a PCI function. */
    public static VfioDevice open(Syscalls syscalls, PciAddress address) {
        return open(syscalls, VfioDevices.cdev(syscalls, address));
    }

    /**
     * Opens a character device.
     *
     * @param path such as {@code /dev/vfio/devices/vfio0}
     * @throws SyscallException ENOENT, EACCES
     */
    public static VfioDevice open(Syscalls syscalls, String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd == -Errno.EACCES || fd == -Errno.EPERM) {
            throw new SyscallException(
                    "open", path, fd, "give the user access (sudo setfacl -m u:$USER:rw " + path + ")");
        }
        return new VfioDevice(syscalls, check(fd, "open", path), path);
    }

    /**
     * VFIO_DEVICE_BIND_IOMMUFD: takes the device for an iommufd context. There is no unbind but close.
     *
     * @return the device's id in that context
     * @throws SyscallException EBUSY, EINVAL, EPERM, EBADF, EBADFD: with a hint what to do
     */
    public int bind(IommuFd iommu) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_device_bind_iommufd.allocate(arena);
            vfio_device_bind_iommufd.argsz(cmd, (int) vfio_device_bind_iommufd.sizeof());
            vfio_device_bind_iommufd.iommufd(cmd, iommu.fd());
            int answer = syscalls.ioctl(fd(), vfio.VFIO_DEVICE_BIND_IOMMUFD(), cmd);
            if (answer < 0) {
                throw refusedBind(answer);
            }
            return vfio_device_bind_iommufd.out_devid(cmd);
        }
    }

    private SyscallException refusedBind(int answer) {
        String hint = switch (-answer) {
            case Errno.EBUSY -> "another process, or the device's group under /dev/vfio, has it open, or a device of"
                    + " its IOMMU group has a driver of the host: bind the whole group to vfio-pci";
            case Errno.EBADF, Errno.EBADFD -> "the descriptor is not an open iommufd";
            case Errno.EPERM -> "the platform cannot isolate the device's interrupts; on a test machine only: modprobe"
                    + " iommufd allow_unsafe_interrupts=1";
            case Errno.EINVAL -> "the device is bound already, or its IOMMU does not keep caches coherent";
            default -> null;
        };
        return new SyscallException("VFIO_DEVICE_BIND_IOMMUFD", name, answer, hint);
    }

    /** {@link #attach(int)} to an address space; the kernel makes or picks the page table. */
    public int attach(Ioas ioas) {
        return attach(ioas.id());
    }

    /**
     * VFIO_DEVICE_ATTACH_IOMMUFD_PT: from now on the device's DMA goes through this address space. Attached already,
     * it is moved in one step.
     *
     * @param pageTable id of an IOAS or an HWPT
     * @return the id of the HWPT that is used
     * @throws SyscallException ENOENT, EINVAL; EADDRINUSE what is mapped meets a range that the device reserves;
     *     ENOMEM, EFAULT from pinning
     */
    public int attach(int pageTable) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_device_attach_iommufd_pt.allocate(arena);
            vfio_device_attach_iommufd_pt.argsz(cmd, (int) vfio_device_attach_iommufd_pt.pasid$offset());
            vfio_device_attach_iommufd_pt.pt_id(cmd, pageTable);
            int answer = syscalls.ioctl(fd(), vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT(), cmd);
            if (answer < 0) {
                throw refusedAttach(pageTable, answer);
            }
            return vfio_device_attach_iommufd_pt.pt_id(cmd);
        }
    }

    private SyscallException refusedAttach(int pageTable, int answer) {
        String hint = switch (-answer) {
            case Errno.EADDRINUSE -> "guest memory is mapped where this device reserves addresses (on x86 interrupts at"
                    + " 0xfee00000): lay the guest's RAM out around them";
            case Errno.ENOMEM -> LockedMemory.hint(syscalls, 0);
            default -> null;
        };
        return new SyscallException(
                "VFIO_DEVICE_ATTACH_IOMMUFD_PT", name + " to page table " + pageTable, answer, hint);
    }

    /** VFIO_DEVICE_DETACH_IOMMUFD_PT: all DMA of the device is blocked. */
    public void detach() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_device_detach_iommufd_pt.allocate(arena);
            vfio_device_detach_iommufd_pt.argsz(cmd, (int) vfio_device_detach_iommufd_pt.pasid$offset());
            check(syscalls.ioctl(fd(), vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT(), cmd), "VFIO_DEVICE_DETACH_IOMMUFD_PT", name);
        }
    }

    /**
     * What a device is and has.
     *
     * @param flags {@code VFIO_DEVICE_FLAGS_*}
     * @param regions number of region indices
     * @param irqs number of interrupt indices
     */
    public record Info(int flags, int regions, int irqs) {
        public boolean resettable() {
            return (flags & vfio.VFIO_DEVICE_FLAGS_RESET()) != 0;
        }

        public boolean pci() {
            return (flags & vfio.VFIO_DEVICE_FLAGS_PCI()) != 0;
        }
    }

    /** VFIO_DEVICE_GET_INFO. */
    public Info info() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_device_info.allocate(arena);
            vfio_device_info.argsz(cmd, (int) vfio_device_info.sizeof());
            check(syscalls.ioctl(fd(), vfio.VFIO_DEVICE_GET_INFO(), cmd), "VFIO_DEVICE_GET_INFO", name);
            return new Info(
                    vfio_device_info.flags(cmd), vfio_device_info.num_regions(cmd), vfio_device_info.num_irqs(cmd));
        }
    }

    /** VFIO_DEVICE_GET_REGION_INFO with its capabilities; EINVAL for an index that the device does not have. */
    public VfioRegion regionInfo(int index) {
        return RegionQuery.ask(this, index);
    }

    /** VFIO_DEVICE_GET_IRQ_INFO; EINVAL for an index that the device does not have. */
    public VfioIrq irqInfo(int index) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_irq_info.allocate(arena);
            vfio_irq_info.argsz(cmd, (int) vfio_irq_info.sizeof());
            vfio_irq_info.index(cmd, index);
            check(syscalls.ioctl(fd(), vfio.VFIO_DEVICE_GET_IRQ_INFO(), cmd), "VFIO_DEVICE_GET_IRQ_INFO", irq(index));
            return new VfioIrq(index, vfio_irq_info.flags(cmd), vfio_irq_info.count(cmd));
        }
    }

    /**
     * Enables interrupts: each signals an eventfd when it fires (VFIO_DEVICE_SET_IRQS, eventfd trigger).
     *
     * @param index such as VFIO_PCI_MSI_IRQ_INDEX
     * @param start first vector
     * @param eventfds one for each vector; -1 takes a vector's eventfd away
     */
    public void setTriggers(int index, int start, int... eventfds) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_TRIGGER(), start, eventfds);
    }

    /** Lets an eventfd unmask an interrupt (eventfd unmask): the other half of a level interrupt. */
    public void setUnmaskTrigger(int index, int vector, int eventfd) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_UNMASK(), vector, eventfd);
    }

    /** Disables all interrupts of an index. */
    public void disableIrqs(int index) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_TRIGGER(), 0, 0);
    }

    /** Fires interrupts as if the device had (loopback), for tests. */
    public void loopback(int index, int start, int count) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_TRIGGER(), start, count);
    }

    /** Masks interrupts. */
    public void mask(int index, int start, int count) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_MASK(), start, count);
    }

    /** Unmasks interrupts; one that is due fires at once. */
    public void unmask(int index, int start, int count) {
        setIrqs(index, vfio.VFIO_IRQ_SET_ACTION_UNMASK(), start, count);
    }

    private void setIrqs(int index, int action, int start, int count) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = vfio_irq_set.allocate(arena);
            setIrqs(cmd, vfio.VFIO_IRQ_SET_DATA_NONE() | action, index, start, count);
        }
    }

    private void setIrqs(int index, int action, int start, int[] eventfds) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = arena.allocate(vfio_irq_set.sizeof() + 4L * eventfds.length, 4);
            MemorySegment.copy(eventfds, 0, cmd, JAVA_INT, vfio_irq_set.sizeof(), eventfds.length);
            setIrqs(cmd, vfio.VFIO_IRQ_SET_DATA_EVENTFD() | action, index, start, eventfds.length);
        }
    }

    private void setIrqs(MemorySegment cmd, int flags, int index, int start, int count) {
        vfio_irq_set.argsz(cmd, (int) cmd.byteSize());
        vfio_irq_set.flags(cmd, flags);
        vfio_irq_set.index(cmd, index);
        vfio_irq_set.start(cmd, start);
        vfio_irq_set.count(cmd, count);
        int answer = syscalls.ioctl(fd(), vfio.VFIO_DEVICE_SET_IRQS(), cmd);
        if (answer < 0) {
            throw new SyscallException(
                    "VFIO_DEVICE_SET_IRQS", irq(index) + " from " + start + " count " + count + " flags " + flags, answer);
        }
    }

    private String irq(int index) {
        return name + " irq index " + index;
    }

    /** VFIO_DEVICE_RESET; EINVAL where the device cannot ({@link Info#resettable}). */
    public void reset() {
        check(syscalls.ioctl(fd(), vfio.VFIO_DEVICE_RESET(), 0), "VFIO_DEVICE_RESET", name);
    }

    /**
     * Reads from a region with pread(2).
     *
     * @param offset bytes from the region's start
     * @return bytes that were read, fewer at the region's end
     * @throws SyscallException EINVAL behind the end, EIO memory access is off in the command register
     */
    public long readRegion(VfioRegion region, long offset, MemorySegment into) {
        long answer = syscalls.pread(fd(), into, region.offset() + offset);
        if (answer < 0) {
            throw new SyscallException("pread", access(region, offset), answer);
        }
        return answer;
    }

    /** Writes to a region with pwrite(2), as {@link #readRegion}. */
    public long writeRegion(VfioRegion region, long offset, MemorySegment from) {
        long answer = syscalls.pwrite(fd(), from, region.offset() + offset);
        if (answer < 0) {
            throw new SyscallException("pwrite", access(region, offset), answer);
        }
        return answer;
    }

    private String access(VfioRegion region, long offset) {
        return name + " region " + region.index() + " offset 0x" + Long.toHexString(offset);
    }

    /**
     * Maps a part of a region, shared, for reading and writing as the region allows.
     *
     * @param offset bytes from the region's start, a multiple of 4096
     * @param length bytes
     * @throws SyscallException EINVAL the part is not in {@link VfioRegion#mappable}
     */
    public VfioMapping mmapRegion(VfioRegion region, long offset, long length) {
        int protection =
                (region.readable() ? Linux.PROT_READ : 0) | (region.writable() ? Linux.PROT_WRITE : 0);
        long address = syscalls.mmap(0, length, protection, Linux.MAP_SHARED, fd(), region.offset() + offset);
        if (Linux.isError(address)) {
            throw new SyscallException("mmap", access(region, offset), address);
        }
        return new VfioMapping(syscalls, address, length);
    }

    /** The path that was opened. */
    @Override
    public String toString() {
        return name;
    }
}
