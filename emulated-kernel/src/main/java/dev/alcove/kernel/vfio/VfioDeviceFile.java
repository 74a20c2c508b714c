// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * An open VFIO device (drivers/vfio/device_cdev.c, group.c, pci/vfio_pci_core.c): /dev/vfio/devices/vfioN, which gives
 * access only after VFIO_DEVICE_BIND_IOMMUFD, or what VFIO_GROUP_GET_DEVICE_FD answered, which gives it at once. There is
 * no unbind but close.
 *
 * <p>Lock: the monitor of the device's set for binding; device accesses take the function's monitor only.
 */
public final class VfioDeviceFile extends OpenFile {
    private static final int BIND_LEAST = 16;
    private static final int BIND_SIZE = 24;
    private static final int TOKEN = vfio.VFIO_DEVICE_BIND_FLAG_TOKEN();
    private static final int TOKEN_SIZE = 16;

    private final VfioDevice device;
    private final boolean byGroup;
    private final long inode;
    private volatile boolean granted;

    /** Where read(2) and write(2) go; no seek changes it. */
    private long position;

    /** A file of /dev/vfio/devices. */
    VfioDeviceFile(VfioDevice device, int flags, long inode) {
        super(flags);
        this.inode = inode;
        this.device = device;
        this.byGroup = false;
    }

    /** A file of a device that its group has opened; the file ends that. */
    VfioDeviceFile(VfioDevice device, long inode) {
        super(Linux.O_RDWR);
        this.inode = inode;
        this.device = device;
        this.byGroup = true;
        this.granted = true;
    }

    @Override
    protected void release() {
        if (!granted) {
            return;
        }
        granted = false;
        if (byGroup) {
            device.group().close(device);
            return;
        }
        synchronized (device.set()) {
            device.close();
        }
        device.group().unblock();
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (request == VfioRequests.BIND_IOMMUFD) {
            return bind(task, argument);
        }
        EnabledFunction state = state();
        if (state == null) {
            return -Errno.EINVAL;
        }
        return switch (request) {
            case VfioRequests.ATTACH_IOMMUFD_PT, VfioRequests.DETACH_IOMMUFD_PT -> attach(task, request, argument);
            case VfioRequests.GET_INFO -> VfioQueries.device(task, state.function(), argument);
            case VfioRequests.GET_REGION_INFO -> VfioQueries.region(task, state.regions(), argument);
            case VfioRequests.GET_IRQ_INFO -> VfioQueries.interrupt(task, state.interrupts(), argument);
            case VfioRequests.SET_IRQS -> state.interrupts().set(task, argument);
            case VfioRequests.RESET -> state.regions().reset();
            case VfioRequests.GET_PCI_HOT_RESET_INFO -> new HotReset(device, task).info(argument);
            case VfioRequests.PCI_HOT_RESET -> new HotReset(device, task).execute(argument);
            case VfioRequests.IOEVENTFD -> state.ioeventfds().set(task, argument);
            case VfioRequests.FEATURE -> state.features().execute(task, argument);
            default -> -Errno.ENOTTY;
        };
    }

    /** What the file may work on; null before it is bound. */
    private @Nullable EnabledFunction state() {
        return granted ? device.enabled() : null;
    }

    private long attach(Task task, int request, long argument) {
        VfioAttachment attachment;
        synchronized (device.set()) {
            attachment = device.attachment();
        }
        if (byGroup || attachment == null) {
            return -Errno.ENOTTY;
        }
        return request == VfioRequests.ATTACH_IOMMUFD_PT
                ? attachment.attach(task, argument)
                : attachment.detach(task, argument);
    }

    private long bind(Task task, long argument) {
        int[] error = new int[1];
        UserStruct bind = UserStruct.copyIn(task, argument, BIND_LEAST, BIND_SIZE, error);
        if (bind == null) {
            return error[0];
        }
        if (bind.word(8) < 0 || (bind.word(4) & ~TOKEN) != 0 || byGroup) {
            return -Errno.EINVAL;
        }
        if (!device.group().block()) {
            return -Errno.EBUSY;
        }
        long answer;
        synchronized (device.set()) {
            answer = bind(task, bind);
        }
        if (answer < 0) {
            device.group().unblock();
        }
        return answer;
    }

    private long bind(Task task, UserStruct bind) {
        if (granted) {
            return -Errno.EINVAL;
        }
        if ((bind.word(4) & TOKEN) != 0) {
            // A token is for functions with SR-IOV only.
            return UserStruct.copyIn(task, bind.quad(16), TOKEN_SIZE) == null ? -Errno.EFAULT : -Errno.EINVAL;
        }
        OpenFile file = task.file(bind.word(8));
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof IommufdContext context)) {
            return -Errno.EBADFD;
        }
        int error = device.open(context, true);
        VfioAttachment attachment = device.attachment();
        if (error != 0 || attachment == null) {
            return error;
        }
        bind.setWord(12, attachment.deviceId());
        int copied = bind.copyOutWord(12);
        if (copied < 0) {
            device.close();
        } else {
            granted = true;
        }
        return copied;
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
        EnabledFunction state = state();
        return state == null ? -Errno.EINVAL : state.regions().access(buffer, offset, false);
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        EnabledFunction state = state();
        return state == null ? -Errno.EINVAL : state.regions().access(buffer, offset, true);
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        EnabledFunction state = state();
        return state == null ? new Mapping.Refused(Errno.EINVAL) : state.regions().map(offset, length, flags);
    }

    @Override
    public boolean anonymous() {
        return byGroup;
    }

    @Override
    public boolean transfers() {
        return true;
    }

    @Override
    public Stat stat() {
        return byGroup ? new Stat(inode, 0600, 0, 0) : new Stat(inode, Stat.S_IFCHR | 0600, 0, 0);
    }
}
