// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.sys.Errno;

/**
 * One open of /dev/iommu ({@code struct iommufd_ctx}): an id space of objects. What VFIO calls is public here.
 */
public final class IommufdContext extends OpenFile {
    IommufdContext(int flags) {
        super(flags);
    }

    /**
     * Gives a device to this context ({@code iommufd_device_bind}). Until {@link #unbind} the device keeps the context
     * alive and its group's DMA is owned by the context; it is blocked until the first {@link #attach}.
     *
     * @return the object id of the device (1 to 2^32-1); {@code -EINVAL} without cache coherency; {@code -EPERM} without
     *     isolated MSI; {@code -EBUSY} when something else owns the group's DMA; {@code -ENOMEM}
     */
    public long bindDevice(IommuDevice device) {
        return -Errno.ENODEV;
    }

    /**
     * Puts a device behind a page table, or another one when it is attached already ({@code iommufd_device_attach},
     * {@code iommufd_device_replace}). On an error nothing has changed.
     *
     * @param deviceId as answered by {@link #bindDevice}
     * @param ptId an IOAS (a page table is made or shared by itself) or a HWPT
     * @return the id of the HWPT; {@code -ENOENT} no such object; {@code -EINVAL} not a page table, or the group is on
     *     another one; {@code -EADDRINUSE} areas or allowed ranges lie in reserved regions; what pinning the areas
     *     answers ({@code -EFAULT -ENOMEM -EINVAL})
     */
    public long attach(long deviceId, int ptId) {
        return -Errno.ENODEV;
    }

    /** Takes a device from its page table: all its DMA is blocked. Nothing happens when it is not attached. */
    public void detach(long deviceId) {}

    /** Takes a device out of the context, detached first where it is attached; drops the context's reference. */
    public void unbind(long deviceId) {}

    @Override
    protected void release() {}

    @Override
    public Stat stat() {
        return new Stat(0, Stat.S_IFCHR | 0660, 0, 0);
    }
}
