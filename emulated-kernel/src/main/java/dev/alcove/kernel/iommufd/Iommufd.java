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
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** The iommufd module of a kernel: opens /dev/iommu, and knows what is open. Thread safe. */
public final class Iommufd implements Subsystem {
    private static final String PATH = "/dev/iommu";
    /** 6.19 is followed by 7.0. */
    private static final int NEWEST_MINOR = 19;
    private static final int DEFAULT_BATCH_LIMIT = 65536;

    /** Bytes that Linux needs for one element of a batch. */
    private static final int BATCH_ELEMENT = Long.BYTES + Integer.BYTES;

    private final KernelProfile profile;
    /** The newest 6.x that the kernel is as new as. */
    private final int newest;
    private final Allocator allocator;
    private final PhysicalMemory memory;
    private final Iommu iommu;
    private final Vfs vfs;
    private final List<IommufdContext> contexts = new ArrayList<>();
    private final NativeCommands.@Nullable Entry[] added = new NativeCommands.Entry[0x100];
    private volatile int lastCommand = NativeCommands.LAST;
    private volatile int batchLimit = DEFAULT_BATCH_LIMIT;

    /** The module for one machine; adds /dev/iommu. */
    public Iommufd(KernelProfile profile, Allocator allocator, PhysicalMemory memory, Iommu iommu, Vfs vfs) {
        this.profile = profile;
        this.newest = IntStream.rangeClosed(0, NEWEST_MINOR).filter(minor -> profile.atLeast(6, minor)).max().orElse(-1);
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

    /**
     * Adds an ioctl that not every kernel has, before anybody has opened /dev/iommu.
     *
     * @param number of the ioctl, above those that every kernel has, to 0xff
     * @param least bytes that the caller must give of its struct
     * @param size bytes of its struct
     */
    public void addCommand(int number, int least, int size, CommandHandler handler) {
        added[number] = new NativeCommands.Entry(least, size, 2, handler);
        lastCommand = Math.max(lastCommand, number);
    }

    NativeCommands.@Nullable Entry addedCommand(int number) {
        return added[number];
    }

    int lastCommand() {
        return lastCommand;
    }

    /**
     * Limits the temporary memory of a map or unmap, which takes as many steps as it has to.
     *
     * @param bytes 65536 unless set
     * @return 0; {@code -EINVAL} not enough for one page
     */
    public int setBatchLimit(int bytes) {
        if (Integer.compareUnsigned(bytes, BATCH_ELEMENT) < 0) {
            return -Errno.EINVAL;
        }
        batchLimit = bytes;
        return 0;
    }

    /** Pages that a map may look at in one step, at least one. */
    int batch(int most) {
        return Math.min(most, Integer.divideUnsigned(batchLimit, BATCH_ELEMENT));
    }

    /** Whether the kernel is at least 6.minor. */
    boolean has(int minor) {
        return minor <= newest;
    }

    /** The kernel's release. */
    public KernelProfile profile() {
        return profile;
    }

    /** Charged for objects. */
    public Allocator allocator() {
        return allocator;
    }

    PhysicalMemory memory() {
        return memory;
    }

    Iommu iommu() {
        return iommu;
    }
}
