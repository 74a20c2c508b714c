// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.dmabuf;

import dev.alcove.bindings.dmabuf.dmabuf;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A dma-buf of a device's registers: it has a size and can be handed on; a process cannot map it. */
public final class DmaBufFile extends OpenFile {
    private static final int SYNC = 0x40086200;
    private static final long SYNC_READ_WRITE = dmabuf.DMA_BUF_SYNC_RW();
    private static final long SYNC_KNOWN = SYNC_READ_WRITE | dmabuf.DMA_BUF_SYNC_END();

    private final long size;
    private final long inode;

    /** @param size bytes */
    public DmaBufFile(long size, int flags, long inode) {
        super(flags);
        this.size = size;
        this.inode = inode;
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        if (offset != 0 || (whence != Linux.SEEK_SET && whence != Linux.SEEK_END)) {
            return -Errno.EINVAL;
        }
        return whence == Linux.SEEK_END ? size : 0;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (request != SYNC) {
            return -Errno.ENOTTY;
        }
        MemorySegment sync = MemorySegment.ofArray(new byte[Long.BYTES]);
        if (task.memory().copyIn(argument, sync) < 0) {
            return -Errno.EFAULT;
        }
        long flags = sync.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        return (flags & ~SYNC_KNOWN) != 0 || (flags & SYNC_READ_WRITE) == 0 ? -Errno.EINVAL : 0;
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        return new Mapping.Refused(Errno.EINVAL);
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFREG | 0600, size, 0);
    }

    @Override
    protected void release() {}
}
