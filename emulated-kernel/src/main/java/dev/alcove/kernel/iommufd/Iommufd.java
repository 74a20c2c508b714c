// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Subsystem;
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
public final class Iommufd implements Subsystem {
    private static final String PATH = "/dev/iommu";

    private final KernelProfile profile;
    private final Allocator allocator;
    private final PhysicalMemory memory;
    private final Iommu iommu;
    private final Vfs vfs;
    private final List<IommufdContext> contexts = new ArrayList<>();

    /** The module for one machine; adds /dev/iommu. */
    public Iommufd(KernelProfile profile, Allocator allocator, PhysicalMemory memory, Iommu iommu, Vfs vfs) {
        this.profile = profile;
        this.allocator = allocator;
        this.memory = memory;
        this.iommu = iommu;
        this.vfs = vfs;
        vfs.add(PATH, this::open);
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
        IommufdContext context = new IommufdContext(this, (flags & ~Linux.O_CLOEXEC) | Linux.O_LARGEFILE, vfs.nextInode());
        synchronized (contexts) {
            contexts.add(context);
        }
        return task.install(context, (flags & Linux.O_CLOEXEC) != 0);
    }

    @Override
    public void close() {
        vfs.remove(PATH);
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
