// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;

/** The iommufd module of a kernel: opens /dev/iommu, and knows what is open. Thread safe. */
public final class Iommufd {
    private final KernelProfile profile;
    private final Allocator allocator;
    private final PhysicalMemory memory;
    private final Iommu iommu;
    private final List<IommufdContext> contexts = new ArrayList<>();

    /** The module for one machine; {@link #register} makes it reachable. */
    public Iommufd(KernelProfile profile, Allocator allocator, PhysicalMemory memory, Iommu iommu) {
        this.profile = profile;
        this.allocator = allocator;
        this.memory = memory;
        this.iommu = iommu;
    }

    /** Adds /dev/iommu. */
    public void register(Vfs vfs) {
        vfs.add("/dev/iommu", this::open);
    }

    /** The contexts that are open, or kept alive by a device. */
    public List<IommufdContext> contexts() {
        synchronized (contexts) {
            return List.copyOf(contexts);
        }
    }

    private long open(Task task, int flags) {
        if (!allocator.charge("iommufd context")) {
            return -Errno.ENOMEM;
        }
        IommufdContext context = new IommufdContext(this, flags & ~Linux.O_CLOEXEC | Linux.O_LARGEFILE);
        synchronized (contexts) {
            contexts.add(context);
        }
        return task.install(context, (flags & Linux.O_CLOEXEC) != 0);
    }

    void forget(IommufdContext context) {
        synchronized (contexts) {
            contexts.remove(context);
        }
    }

    KernelProfile profile() {
        return profile;
    }

    Allocator allocator() {
        return allocator;
    }

    PhysicalMemory memory() {
        return memory;
    }

    Iommu iommu() {
        return iommu;
    }
}
