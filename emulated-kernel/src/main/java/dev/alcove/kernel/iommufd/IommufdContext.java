// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One open of /dev/iommu ({@code struct iommufd_ctx}): an id space of objects. What VFIO calls is public here, and what
 * an inspection reads.
 */
public final class IommufdContext extends OpenFile {
    private final Iommufd module;
    private final long inode;
    private final ObjectTable objects;
    private final DeviceBinding binding;
    private volatile @Nullable Ioas compatIoas;
    private volatile boolean accountPerProcess;

    IommufdContext(Iommufd module, int flags, long inode) {
        super(flags);
        this.module = module;
        this.inode = inode;
        this.objects = new ObjectTable(module.allocator());
        this.binding = new DeviceBinding(this);
    }

    /**
     * Gives a device to this context ({@code iommufd_device_bind}). Until {@link #unbind} the device keeps the context
     * alive and its group's DMA is owned by the context; it is blocked until the first {@link #attach}.
     *
     * @return the object id of the device (1 to 2^32-1); {@code -EINVAL} without cache coherency; {@code -EPERM} without
     *     isolated MSI; {@code -EBUSY} when something else owns the group's DMA; {@code -ENOMEM}
     */
    public long bindDevice(IommuDevice device) {
        return binding.bind(device);
    }

    /**
     * Puts a device behind a page table ({@code iommufd_device_attach}). On an error nothing has changed.
     *
     * @param deviceId as answered by {@link #bindDevice}
     * @param ptId an IOAS (a page table is made or shared by itself) or a HWPT
     * @return the id of the HWPT; {@code -ENOENT} no such object; {@code -EINVAL} not a page table, or the group is on
     *     another one; {@code -EBUSY} attached already; {@code -EADDRINUSE} areas or allowed ranges lie in reserved regions; what pinning the areas
     *     answers ({@code -EFAULT -ENOMEM -EINVAL})
     */
    public long attach(long deviceId, int ptId) {
        return binding.attach((int) deviceId, ptId, false);
    }

    /** Moves an attached device to another page table, as {@link #attach} ({@code iommufd_device_replace}). */
    public long replace(long deviceId, int ptId) {
        return binding.attach((int) deviceId, ptId, true);
    }

    /** Attaches one address space of a device; none of this machine has more than the one: {@code -ENOENT -EINVAL}. */
    public long attachPasid(int ptId) {
        IommufdObject target = objects.get(ptId, IommufdObject.class);
        if (target == null) {
            return -Errno.ENOENT;
        }
        objects.put(target);
        return -Errno.EINVAL;
    }

    /** Takes a device from its page table: all its DMA is blocked. Nothing happens when it is not attached. */
    public void detach(long deviceId) {
        binding.detach((int) deviceId);
    }

    /** Takes a device out of the context, detached first where it is attached; drops the context's reference. */
    public void unbind(long deviceId) {
        binding.unbind((int) deviceId);
    }

    /** The ids of all I/O address spaces, ascending. */
    public List<Integer> ioasIds() {
        return objects.all(Ioas.class).stream().map(Ioas::id).toList();
    }

    /** What an address space maps, ascending; empty for another id. Areas that come or go at the moment are left out. */
    public List<IoasArea> areas(int ioasId) {
        return objects.all(Ioas.class).stream()
                .filter(ioas -> ioas.id() == ioasId)
                .findFirst()
                .map(ioas -> ioas.table.snapshot())
                .orElse(List.of());
    }

    /** The page tables that carry an address space. */
    public List<IommuDomain> domains(int ioasId) {
        return objects.all(Hwpt.class).stream()
                .filter(hwpt -> hwpt.ioas.id() == ioasId)
                .map(hwpt -> hwpt.domain)
                .toList();
    }

    /** How many objects the context has. */
    public int objectCount() {
        return objects.all(IommufdObject.class).size();
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        int number = request & 0xff;
        if (number < NativeCommands.BASE || number > NativeCommands.LAST) {
            return new CompatCommands(this, task).execute(request, argument);
        }
        return NativeCommands.execute(this, task, request, argument);
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        if (!module.profile().atLeast(6, 17)) {
            return new Mapping.Refused(Errno.ENODEV);
        }
        if ((flags & Linux.MAP_SHARED) == 0) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        return new Mapping.Refused((protection & Linux.PROT_EXEC) != 0 ? Errno.EPERM : Errno.ENXIO);
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0660, 0, 0);
    }

    @Override
    protected void release() {
        objects.destroyAll();
        module.forget(this);
    }

    /** As {@link DeviceBinding#allocate}, of a page table that its user made. */
    @Nullable Hwpt newHwpt(int id, Ioas ioas, @Nullable FaultQueue faults) {
        return binding.allocate(id, ioas, false, faults);
    }

    Iommufd module() {
        return module;
    }

    ObjectTable objects() {
        return objects;
    }

    /** The address space of the type1 calls, null when there is none. */
    @Nullable Ioas compatIoas() {
        return compatIoas;
    }

    void setCompatIoas(@Nullable Ioas ioas) {
        compatIoas = ioas;
    }

    synchronized void forgetCompat(Ioas ioas) {
        if (compatIoas == ioas) {
            compatIoas = null;
        }
    }

    boolean accountPerProcess() {
        return accountPerProcess;
    }

    void setAccountPerProcess(boolean on) {
        accountPerProcess = on;
    }
}
