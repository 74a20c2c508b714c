// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * The devices of an IOMMU group that VFIO drivers have ({@code struct vfio_group}), and what translates for them: a
 * container, an iommufd, or nothing yet. Its file /dev/vfio/N is open once at most, and never together with a bound file
 * of one of its devices in /dev/vfio/devices.
 *
 * <p>Lock: its monitor, above that of a {@link VfioDeviceSet}.
 */
final class VfioGroup {
    private final IommuGroup iommu;
    private final List<VfioDevice> devices = new CopyOnWriteArrayList<>();
    private @Nullable VfioGroupFile opened;
    /** How many files of /dev/vfio/devices are bound. */
    private int cdevs;

    private @Nullable VfioContainer container;
    /** The container's users: the group itself, and each device that is open through it. */
    private int containerUsers;

    private @Nullable IommufdContext iommufd;

    VfioGroup(IommuGroup iommu) {
        this.iommu = iommu;
    }

    IommuGroup iommu() {
        return iommu;
    }

    void add(VfioDevice device) {
        devices.add(device);
    }

    /** Makes a file the one that the group is open as: 0 or {@code -EBUSY}. */
    synchronized int open(VfioGroupFile file) {
        if (cdevs > 0 || opened != null) {
            return -Errno.EBUSY;
        }
        opened = file;
        return 0;
    }

    /** The file is gone, and with it what translated for the group. */
    synchronized void closed() {
        detach();
        opened = null;
    }

    private void detach() {
        VfioContainer left = container;
        if (left != null) {
            container = null;
            containerUsers = 0;
            left.detach(this);
        }
        IommufdContext context = iommufd;
        if (context != null) {
            iommufd = null;
            context.put();
        }
    }

    /** Keeps the group's file from being opened while a device is bound by its own; false when it is open. */
    synchronized boolean block() {
        if (opened != null) {
            return false;
        }
        cdevs++;
        return true;
    }

    synchronized void unblock() {
        cdevs--;
    }

    private boolean translated() {
        return container != null || iommufd != null;
    }

    /** The flags of VFIO_GROUP_GET_STATUS. */
    synchronized int status() {
        return translated() ? VfioGroupFile.CONTAINER_SET | VfioGroupFile.VIABLE : iommu.owned() ? 0 : VfioGroupFile.VIABLE;
    }

    /**
     * VFIO_GROUP_SET_CONTAINER.
     *
     * @return 0; {@code -EINVAL} it has one; {@code -EBADFD} the file is neither a container nor an iommufd;
     *     {@code -EPERM} something else owns the DMA; {@code -ENOMEM}; what attaching answers
     */
    synchronized int setContainer(OpenFile file) {
        if (translated()) {
            return -Errno.EINVAL;
        }
        switch (file) {
            case VfioContainer next -> {
                int error = next.attach(this);
                if (error == 0) {
                    container = next;
                    containerUsers = 1;
                }
                return error;
            }
            case IommufdContext context -> {
                int error = context.createCompatIoas();
                if (error == 0) {
                    context.get();
                    iommufd = context;
                }
                return error;
            }
            default -> {
                return -Errno.EBADFD;
            }
        }
    }

    /** VFIO_GROUP_UNSET_CONTAINER: 0, {@code -EINVAL} there is none, {@code -EBUSY} a device is open. */
    synchronized int unsetContainer() {
        if (!translated()) {
            return -Errno.EINVAL;
        }
        if (container != null && containerUsers != 1) {
            return -Errno.EBUSY;
        }
        detach();
        return 0;
    }

    /** The device of that name in what VFIO_GROUP_GET_DEVICE_FD was handed, or null. */
    @Nullable VfioDevice find(String request) {
        for (VfioDevice device : devices) {
            String name = device.address().toString();
            if (request.equals(name) || request.startsWith(name + " ")) {
                return device;
            }
        }
        return null;
    }

    /** Opens a device of the group: its descriptor, {@code -EINVAL} without IOMMU, or what binding and attaching answer. */
    long openDevice(Task task, VfioDevice device) {
        synchronized (this) {
            if (!translated()) {
                return -Errno.EINVAL;
            }
            synchronized (device.set()) {
                IommufdContext context = iommufd;
                int error = device.open(context, false);
                if (error != 0) {
                    return error;
                }
                VfioAttachment attachment = device.attachment();
                if (context != null && attachment != null && device.openedOnce()) {
                    long answer = attachment.attachToCompat();
                    if (answer < 0) {
                        device.close();
                        return answer;
                    }
                }
            }
        }
        return task.install(new VfioDeviceFile(device, device.nextInode()), true);
    }

    /** Ends one {@link #openDevice}. */
    synchronized void close(VfioDevice device) {
        synchronized (device.set()) {
            device.close();
        }
    }

    /** A device is opened through the container, which needs its IOMMU; it keeps the group's file open. */
    synchronized int useContainer() {
        VfioContainer used = container;
        if (used == null || used.iommu() == null || opened == null) {
            return -Errno.EINVAL;
        }
        opened.get();
        containerUsers++;
        return 0;
    }

    synchronized void unuseContainer() {
        containerUsers--;
        if (opened != null) {
            opened.put();
        }
    }
}
