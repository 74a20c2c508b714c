// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An open /dev/vfio/vfio (drivers/vfio/container.c): groups that share one I/O address space. It has an IOMMU from
 * VFIO_SET_IOMMU until its last group leaves. Each group keeps it alive.
 *
 * <p>Lock: its monitor, below those of {@link VfioGroup} and {@link VfioDeviceSet}, above that of {@link Type1Iommu}.
 */
final class VfioContainer extends OpenFile {
    private static final int GET_API_VERSION = 0x3b64;
    private static final int CHECK_EXTENSION = 0x3b65;
    private static final int SET_IOMMU = 0x3b66;

    private final EmulatedKernel kernel;
    private final long inode;
    private final List<VfioGroup> groups = new ArrayList<>();
    private volatile @Nullable Type1Iommu iommu;

    VfioContainer(EmulatedKernel kernel, int flags, long inode) {
        super(flags);
        this.kernel = kernel;
        this.inode = inode;
    }

    /** What translates; null before VFIO_SET_IOMMU. */
    @Nullable Type1Iommu iommu() {
        return iommu;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        Type1Iommu type1 = iommu;
        return switch (request) {
            case GET_API_VERSION -> 0;
            case CHECK_EXTENSION -> Type1Iommu.checkExtension(type1, argument);
            case SET_IOMMU -> setIommu(argument);
            default -> type1 == null ? -Errno.EINVAL : type1.ioctl(task, request, argument);
        };
    }

    private synchronized long setIommu(long type) {
        if (groups.isEmpty() || iommu != null) {
            return -Errno.EINVAL;
        }
        if (type != Type1Iommu.TYPE1 && type != Type1Iommu.TYPE1_V2) {
            return -Errno.ENODEV;
        }
        if (!kernel.allocator().charge("type1 iommu")) {
            return -Errno.ENOMEM;
        }
        Type1Iommu next = new Type1Iommu(kernel, type == Type1Iommu.TYPE1_V2);
        Deque<VfioGroup> attached = new ArrayDeque<>();
        for (VfioGroup group : groups) {
            int error = next.attach(group.iommu());
            if (error != 0) {
                attached.forEach(other -> next.detach(other.iommu()));
                return error;
            }
            attached.push(group);
        }
        iommu = next;
        return 0;
    }

    /**
     * Takes a group in; it becomes the owner of its devices' DMA.
     *
     * @return 0; {@code -EPERM} the DMA has an owner; what {@link Type1Iommu#attach} answers
     */
    synchronized int attach(VfioGroup group) {
        int error = group.iommu().claimWholeGroup(group);
        if (error != 0) {
            return error;
        }
        Type1Iommu type1 = iommu;
        error = type1 == null ? 0 : type1.attach(group.iommu());
        if (error != 0) {
            group.iommu().releaseDmaOwner();
            return error;
        }
        groups.addFirst(group);
        get();
        return 0;
    }

    /** Lets a group go: its DMA is blocked. With the last one all mappings go too. */
    void detach(VfioGroup group) {
        synchronized (this) {
            Type1Iommu type1 = iommu;
            if (type1 != null) {
                type1.detach(group.iommu());
            }
            group.iommu().releaseDmaOwner();
            groups.remove(group);
            if (groups.isEmpty()) {
                iommu = null;
            }
        }
        put();
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0666, 0, 0);
    }

    @Override
    protected void release() {}
}
