// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
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
    private final Windows windows = new Windows(this);
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
     *     isolated MSI, or when something else owns the group's DMA; {@code -ENOMEM}
     */
    public long bindDevice(IommuDevice device) {
        return binding.bind(device, true);
    }

    /** As {@link #bindDevice}, of a device that an object of this context owns: it must not keep the context alive. */
    public long bindOwnDevice(IommuDevice device) {
        return binding.bind(device, false);
    }

    /**
     * Puts a device behind a page table ({@code iommufd_device_attach}). On an error nothing has changed.
     *
     * @param deviceId as answered by {@link #bindDevice}
     * @param pasid of the DMA that shall go there, 0 for DMA without one
     * @param ptId an IOAS (a page table is made or shared by itself) or a HWPT
     * @return the id of the HWPT; {@code -ENOENT} no such object; {@code -EINVAL} not a page table, one that was not made
     *     for PASIDs, or the group is on another one; {@code -EBUSY} it is attached; {@code -EADDRINUSE} areas or allowed
     *     ranges lie in reserved regions; {@code -ENODEV} the page table wants page requests; what pinning the areas
     *     answers ({@code -EFAULT -ENOMEM -EINVAL})
     */
    public long attach(long deviceId, int pasid, int ptId) {
        return binding.attach((int) deviceId, pasid, ptId, false);
    }

    /**
     * Puts a device that is attached behind another page table ({@code iommufd_device_replace}), without a moment in
     * between.
     *
     * @return as {@link #attach}
     */
    public long replace(long deviceId, int pasid, int ptId) {
        return binding.attach((int) deviceId, pasid, ptId, true);
    }

    /** Takes a device from its page table: its DMA is blocked. Nothing happens when it is not attached. */
    public void detach(long deviceId, int pasid) {
        binding.detach((int) deviceId, pasid);
    }

    /** Takes a device out of the context, after it was detached; drops the context's reference. */
    public void unbind(long deviceId) {
        binding.unbind((int) deviceId);
    }

    /**
     * Makes sure that the type1 calls have an address space ({@code iommufd_vfio_compat_ioas_create}).
     *
     * @return 0 or {@code -ENOMEM}
     */
    public synchronized int createCompatIoas() {
        int id = objects.reserve();
        if (id < 0) {
            return id;
        }
        Ioas now = compatIoas;
        if (now != null && objects.get(now)) {
            objects.put(now);
            objects.cancel(id);
            return 0;
        }
        Ioas ioas = new Ioas(id, this, module.allocator());
        compatIoas = ioas;
        objects.add(ioas);
        return 0;
    }

    /**
     * Attaches a device to the address space of the type1 calls.
     *
     * @return as {@link #attach}; {@code -ENODEV} there is none
     */
    public long attachToCompat(long deviceId) {
        Ioas ioas = compatIoas;
        return ioas == null ? -Errno.ENODEV : attach(deviceId, 0, ioas.id());
    }

    /** Whether a device of a group is bound here ({@code iommufd_ctx_has_group}). */
    public boolean hasGroup(IommuGroup group) {
        return objects.all(BoundDevice.class).stream().anyMatch(bound -> bound.device.group() == group);
    }

    /** Whether devices can be attached with PASIDs (6.15). */
    public boolean knowsPasids() {
        return module.profile().atLeast(6, 15);
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
                .map(ioas -> ioas.table.mapped().snapshot())
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
        if (number < NativeCommands.BASE || number > module.lastCommand()) {
            return new CompatCommands(this, task).execute(request, argument);
        }
        return NativeCommands.execute(this, task, request, argument);
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        if (!module.profile().atLeast(6, 17)) {
            return new Mapping.Refused(Errno.ENODEV);
        }
        // A shared mapping of a file that is open for reading only counts as private.
        if ((flags & Linux.MAP_SHARED) == 0 || !writable()) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        return (protection & Linux.PROT_EXEC) != 0 ? new Mapping.Refused(Errno.EPERM) : windows.map(offset, length);
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        return -Errno.EINVAL;
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        return -Errno.EINVAL;
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

    /** The module whose /dev/iommu this is an open file of. */
    public Iommufd module() {
        return module;
    }

    /** An id for a {@link KernelObject}, which nobody finds before {@link #add}; {@code -ENOMEM}. */
    public int reserveId() {
        return objects.reserve();
    }

    /** Gives an id back that {@link #reserveId} answered. */
    public void cancelId(int id) {
        objects.cancel(id);
    }

    /** Makes an object visible under the id it was made with. */
    public void add(KernelObject object) {
        objects.add(object);
    }

    /** Finds an object and becomes a user of it, until {@link #put}; null when the id is free or of another type. */
    public <T extends IommufdObject> @Nullable T get(int id, Class<T> type) {
        return objects.get(id, type);
    }

    /** Ends being a user of an object. */
    public void put(IommufdObject object) {
        objects.put(object);
    }

    /**
     * Makes a way for another part of the kernel to use memory of an address space.
     *
     * @param pins whether it is to pin pages
     * @return null when there is no memory
     */
    public @Nullable IommufdAccess newAccess(boolean pins, AccessUser user) {
        IommufdAccess access = addAccess(pins, user);
        if (access != null) {
            get();
        }
        return access;
    }

    /** An access for iommufd itself, with an id like any other; null when there is no memory. */
    @Nullable IommufdAccess newInternalAccess() {
        return addAccess(true, null);
    }

    private @Nullable IommufdAccess addAccess(boolean pins, @Nullable AccessUser user) {
        int id = objects.reserve();
        if (id < 0) {
            return null;
        }
        IommufdAccess access = new IommufdAccess(id, this, pins, user);
        access.users = 1;
        objects.add(access);
        return access;
    }

    /** The device behind an object id; null when there is none. */
    public @Nullable IommuDevice device(int id) {
        BoundDevice bound = objects.get(id, BoundDevice.class);
        if (bound == null) {
            return null;
        }
        objects.put(bound);
        return bound.device;
    }

    /** The page table behind the id of a HWPT; null when there is none. */
    public @Nullable IommuDomain pagingDomain(int id) {
        Hwpt hwpt = objects.get(id, Hwpt.class);
        if (hwpt == null) {
            return null;
        }
        objects.put(hwpt);
        return hwpt.domain;
    }

    /**
     * Keeps a range of an address space free of areas for good.
     *
     * @return 0; {@code -ENOENT} no such address space; {@code -EADDRINUSE}, {@code -ENOMEM}
     */
    public long reserveRange(int ioasId, long first, long last) {
        return IoasCommands.onIoas(this, ioasId, ioas -> ioas.table.ranges().reserve(first, last));
    }

    /** What an object gives the IOMMU if it is a HWPT, be it of one stage or nested; null otherwise. */
    public static @Nullable Domain domain(IommufdObject object) {
        return object instanceof HwPageTable hwpt ? hwpt.domain() : null;
    }

    /** What a device is behind with a PASID, 0 for none; null for nothing, and for a free id. By identity only. */
    public @Nullable Domain attached(long deviceId, int pasid) {
        BoundDevice bound = objects.find((int) deviceId, BoundDevice.class);
        if (bound == null) {
            return null;
        }
        objects.put(bound);
        return bound.group.domain(pasid);
    }

    /** A device asks for a page ({@code iommu_report_device_fault}): 0, or {@code -ENOENT} for a free id. */
    public long requestPage(long deviceId, PageRequest request) {
        BoundDevice bound = objects.find((int) deviceId, BoundDevice.class);
        if (bound == null) {
            return -Errno.ENOENT;
        }
        try {
            bound.group.request(bound, request);
            return 0;
        } finally {
            objects.put(bound);
        }
    }

    Windows windows() {
        return windows;
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
