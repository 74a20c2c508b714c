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
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * An open /dev/vfio/devices/vfioN (drivers/vfio/device_cdev.c, pci/vfio_pci_core.c). It gives access to the device only
 * after VFIO_DEVICE_BIND_IOMMUFD; there is no unbind but close.
 *
 * <p>Lock: the monitor of this object for binding and attaching, before the locks of iommufd; device accesses take the
 * function's monitor only.
 */
public final class VfioDeviceFile extends OpenFile {
    private static final int BIND_LEAST = 16;
    private static final int BIND_SIZE = 24;
    private static final int TOKEN = vfio.VFIO_DEVICE_BIND_FLAG_TOKEN();
    private static final int TOKEN_SIZE = 16;

    private final VfioDevice device;
    private final PciFunction function;
    private final long inode;
    private volatile @Nullable Opened opened;

    /** Where read(2) and write(2) go; no seek changes it. */
    private long position;

    /** What the file has once it is bound. */
    private record Opened(
            VfioAttachment attachment,
            VfioInterrupts interrupts,
            VfioRegions regions,
            VfioIoeventfds ioeventfds,
            VfioFeatures features,
            VfioDmaBufs dmaBufs,
            MemorySegment header) {}

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
        state.dmaBufs.move(true);
        function.changeCommand(PciFunction.COMMAND_MASTER, 0);
        state.interrupts.close();
        state.ioeventfds.close();
        function.setSink(null);
        for (int offset = 0; offset < PciFunction.HEADER_SIZE; offset++) {
            function.configWrite(offset, 1, state.header.get(ValueLayout.JAVA_BYTE, offset));
        }
        state.attachment.close();
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
            case VfioRequests.ATTACH_IOMMUFD_PT -> state.attachment.attach(task, argument);
            case VfioRequests.DETACH_IOMMUFD_PT -> state.attachment.detach(task, argument);
            case VfioRequests.GET_INFO -> VfioQueries.device(task, argument);
            case VfioRequests.GET_REGION_INFO -> VfioQueries.region(task, state.regions, argument);
            case VfioRequests.GET_IRQ_INFO -> VfioQueries.interrupt(task, argument);
            case VfioRequests.SET_IRQS -> state.interrupts.set(task, argument);
            // A conventional function of the root bus: nothing resets it, neither itself, nor its slot, nor its bus.
            case VfioRequests.RESET -> -Errno.EINVAL;
            case VfioRequests.GET_PCI_HOT_RESET_INFO -> VfioQueries.hotReset(task, argument, false);
            case VfioRequests.PCI_HOT_RESET -> VfioQueries.hotReset(task, argument, true);
            case VfioRequests.IOEVENTFD -> state.ioeventfds.set(task, argument);
            case VfioRequests.FEATURE -> state.features.execute(task, argument);
            default -> -Errno.ENOTTY;
        };
    }

    private synchronized long bind(Task task, long argument) {
        int[] error = new int[1];
        UserStruct bind = UserStruct.copyIn(task, argument, BIND_LEAST, BIND_SIZE, error);
        if (bind == null) {
            return error[0];
        }
        int flags = bind.word(4);
        int fd = bind.word(8);
        if (fd < 0 || (flags & ~TOKEN) != 0 || opened != null) {
            return -Errno.EINVAL;
        }
        if ((flags & TOKEN) != 0) {
            // A token is for functions with SR-IOV only.
            return UserStruct.copyIn(task, bind.quad(16), TOKEN_SIZE) == null ? -Errno.EFAULT : -Errno.EINVAL;
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
        int copied = bind.copyOutWord(12);
        if (copied < 0) {
            release();
        }
        return copied;
    }

    /** Takes the function over as vfio_pci_core_enable does: decoding on, bus mastering off, all else as it is. */
    private void open(IommufdContext context, long deviceId) {
        function.changeCommand(
                PciFunction.COMMAND_MASTER | PciFunction.COMMAND_INTX_DISABLE, PciFunction.COMMAND_MEMORY);
        MemorySegment header = MemorySegment.ofArray(function.configCopy());
        VfioConfigSpace config = new VfioConfigSpace(function);
        VfioInterrupts interrupts = new VfioInterrupts(function);
        VfioRegions regions = new VfioRegions(function, config, interrupts);
        function.setSink(interrupts);
        VfioDmaBufs dmaBufs = new VfioDmaBufs(device, regions);
        config.onDecoding(on -> dmaBufs.move(!on));
        opened = new Opened(
                new VfioAttachment(context, deviceId),
                interrupts,
                regions,
                new VfioIoeventfds(function, config, regions, !device.profile().atLeast(6, 14)),
                new VfioFeatures(device.profile().vfioDmaBuf() ? dmaBufs : null),
                dmaBufs,
                header);
    }

    @Override
    public synchronized long read(Task task, MemorySegment buffer) {
        return advance(pread(task, buffer, position));
    }

    @Override
    public synchronized long write(Task task, MemorySegment buffer) {
        return advance(pwrite(task, buffer, position));
    }

    private long advance(long done) {
        position += Math.max(done, 0);
        return done;
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
