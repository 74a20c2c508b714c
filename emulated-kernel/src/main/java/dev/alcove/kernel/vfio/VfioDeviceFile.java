// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * An open /dev/vfio/devices/vfioN (drivers/vfio/device_cdev.c, pci/vfio_pci_core.c). It gives access to the device only
 * after VFIO_DEVICE_BIND_IOMMUFD; there is no unbind but close.
 *
 * <p>Lock: the monitor of this object for binding and attaching, before the locks of iommufd; device accesses take the
 * function's monitor only.
 */
final class VfioDeviceFile extends OpenFile {
    private static final int ARGSZ_FLAGS = 8;

    private final VfioDevice device;
    private final PciFunction function;
    private final long inode;
    private volatile @Nullable Opened opened;

    /** What the file has once it is bound. */
    private record Opened(
            IommufdContext context, long deviceId, VfioInterrupts interrupts, VfioRegions regions) {}

    VfioDeviceFile(VfioDevice device, int flags, long inode) {
        super(flags);
        this.inode = inode;
        this.device = device;
        this.function = device.function();
    }

    @Override
    protected void release() {
        Opened state = opened;
        if (state == null) {
            return;
        }
        opened = null;
        state.interrupts.close();
        function.setSink(null);
        function.reset();
        function.configWrite(PciFunction.COMMAND, 2, 0);
        state.context.detach(state.deviceId);
        state.context.unbind(state.deviceId);
        device.disown();
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (request == VfioRequests.BIND_IOMMUFD) {
            return bind(task, argument);
        }
        Opened state = opened;
        if (state == null) {
            return -Errno.EINVAL;
        }
        return switch (request) {
            case VfioRequests.ATTACH_IOMMUFD_PT -> attach(task, state, argument);
            case VfioRequests.DETACH_IOMMUFD_PT -> detach(task, state, argument);
            case VfioRequests.GET_INFO -> info(task, argument);
            case VfioRequests.GET_REGION_INFO -> regionInfo(task, state, argument);
            case VfioRequests.GET_IRQ_INFO -> irqInfo(task, argument);
            case VfioRequests.SET_IRQS -> state.interrupts.set(task, argument);
            case VfioRequests.RESET -> reset();
            // The function has neither a slot nor a bus of its own to reset.
            case VfioRequests.GET_PCI_HOT_RESET_INFO, VfioRequests.PCI_HOT_RESET -> -Errno.ENODEV;
            case VfioRequests.FEATURE -> feature(task, argument);
            default -> -Errno.ENOTTY;
        };
    }

    private synchronized long bind(Task task, long argument) {
        UserStruct bind = UserStruct.copyIn(task, argument, 16);
        if (bind == null) {
            return -Errno.EFAULT;
        }
        if (bind.shorterThan(16)) {
            return -Errno.EINVAL;
        }
        boolean withToken = Integer.compareUnsigned(bind.word(0), 24) >= 0;
        if (withToken) {
            bind = UserStruct.copyIn(task, argument, 24);
            if (bind == null) {
                return -Errno.EFAULT;
            }
        }
        int tail = bind.checkTail();
        if (tail < 0) {
            return tail;
        }
        int flags = bind.word(4);
        int fd = bind.word(8);
        if (fd < 0 || (flags & ~1) != 0) {
            return -Errno.EINVAL;
        }
        if (opened != null || (flags & 1) != 0) {
            // A token is for functions with SR-IOV only.
            return -Errno.EINVAL;
        }
        OpenFile file = task.file(fd);
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof IommufdContext context)) {
            return -Errno.EBADFD;
        }
        if (!device.own()) {
            return -Errno.EINVAL;
        }
        long deviceId = context.bindDevice(device.iommu());
        if (deviceId < 0) {
            device.disown();
            return deviceId;
        }
        open(context, deviceId);
        bind.setWord(12, (int) deviceId);
        int copied = bind.copyOut();
        if (copied < 0) {
            release();
        }
        return copied;
    }

    /** Takes the function over as vfio_pci_core_enable does: reset, decoding on, bus mastering off. */
    private void open(IommufdContext context, long deviceId) {
        function.reset();
        function.configWrite(PciFunction.COMMAND, 2, PciFunction.COMMAND_MEMORY);
        VfioConfigSpace config = new VfioConfigSpace(function);
        VfioInterrupts interrupts = new VfioInterrupts(function, config);
        function.setSink(interrupts);
        opened = new Opened(context, deviceId, interrupts, new VfioRegions(function, config, interrupts));
    }

    private synchronized long attach(Task task, Opened state, long argument) {
        UserStruct attach = UserStruct.copyIn(task, argument, 12);
        if (attach == null) {
            return -Errno.EFAULT;
        }
        int flags = attach.word(4);
        if (attach.shorterThan(12) || (flags & ~1) != 0) {
            return -Errno.EINVAL;
        }
        if ((flags & 1) != 0) {
            return attach.shorterThan(16) ? -Errno.EINVAL : -Errno.EOPNOTSUPP;
        }
        long hwpt = state.context.attach(state.deviceId, attach.word(8));
        if (hwpt < 0) {
            return hwpt;
        }
        attach.setWord(8, (int) hwpt);
        int copied = attach.copyOut();
        if (copied < 0) {
            state.context.detach(state.deviceId);
        }
        return copied;
    }

    private synchronized long detach(Task task, Opened state, long argument) {
        UserStruct detach = UserStruct.copyIn(task, argument, ARGSZ_FLAGS);
        if (detach == null) {
            return -Errno.EFAULT;
        }
        int flags = detach.word(4);
        if (detach.shorterThan(ARGSZ_FLAGS) || (flags & ~1) != 0) {
            return -Errno.EINVAL;
        }
        if ((flags & 1) != 0) {
            return detach.shorterThan(12) ? -Errno.EINVAL : -Errno.EOPNOTSUPP;
        }
        state.context.detach(state.deviceId);
        return 0;
    }

    private static long info(Task task, long argument) {
        UserStruct info = UserStruct.copyIn(task, argument, 16);
        if (info == null) {
            return -Errno.EFAULT;
        }
        if (info.shorterThan(16)) {
            return -Errno.EINVAL;
        }
        info.setWord(4, vfio.VFIO_DEVICE_FLAGS_PCI() | vfio.VFIO_DEVICE_FLAGS_RESET());
        info.setWord(8, vfio.VFIO_PCI_NUM_REGIONS());
        info.setWord(12, vfio.VFIO_PCI_NUM_IRQS());
        return info.copyOut();
    }

    private static long regionInfo(Task task, Opened state, long argument) {
        UserStruct info = UserStruct.copyIn(task, argument, 32);
        if (info == null) {
            return -Errno.EFAULT;
        }
        int index = info.word(8);
        if (info.shorterThan(32)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_REGIONS()) >= 0
                || index == vfio.VFIO_PCI_VGA_REGION_INDEX()) {
            return -Errno.EINVAL;
        }
        info.setWord(4, state.regions.flags(index));
        info.setWord(12, 0);
        info.setQuad(16, state.regions.size(index));
        info.setQuad(24, (long) index << VfioRequests.REGION_SHIFT);
        return info.copyOut();
    }

    private static long irqInfo(Task task, long argument) {
        UserStruct info = UserStruct.copyIn(task, argument, 16);
        if (info == null) {
            return -Errno.EFAULT;
        }
        int index = info.word(8);
        if (info.shorterThan(16)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_IRQS()) >= 0
                // Error interrupts are for PCI Express functions only.
                || index == vfio.VFIO_PCI_ERR_IRQ_INDEX()) {
            return -Errno.EINVAL;
        }
        int kind = index == vfio.VFIO_PCI_INTX_IRQ_INDEX()
                ? vfio.VFIO_IRQ_INFO_MASKABLE() | vfio.VFIO_IRQ_INFO_AUTOMASKED()
                : vfio.VFIO_IRQ_INFO_NORESIZE();
        info.setWord(4, vfio.VFIO_IRQ_INFO_EVENTFD() | kind);
        info.setWord(12, VfioInterrupts.count(index));
        return info.copyOut();
    }

    private long reset() {
        function.reset();
        return 0;
    }

    /** No feature of VFIO_DEVICE_FEATURE exists here; its header is checked as always. */
    private static long feature(Task task, long argument) {
        UserStruct feature = UserStruct.copyIn(task, argument, ARGSZ_FLAGS);
        if (feature == null) {
            return -Errno.EFAULT;
        }
        int flags = feature.word(4);
        int operations = vfio.VFIO_DEVICE_FEATURE_GET() | vfio.VFIO_DEVICE_FEATURE_SET();
        int known = vfio.VFIO_DEVICE_FEATURE_MASK() | operations | vfio.VFIO_DEVICE_FEATURE_PROBE();
        if (feature.shorterThan(ARGSZ_FLAGS)
                || (flags & ~known) != 0
                || ((flags & operations) == operations && (flags & vfio.VFIO_DEVICE_FEATURE_PROBE()) == 0)) {
            return -Errno.EINVAL;
        }
        return -Errno.ENOTTY;
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        Opened state = opened;
        return state == null ? -Errno.EINVAL : state.regions.access(buffer, offset, false);
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        Opened state = opened;
        return state == null ? -Errno.EINVAL : state.regions.access(buffer, offset, true);
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        Opened state = opened;
        return state == null ? new Mapping.Refused(Errno.EINVAL) : state.regions.map(offset, length, flags);
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0600, 0, 0);
    }
}
