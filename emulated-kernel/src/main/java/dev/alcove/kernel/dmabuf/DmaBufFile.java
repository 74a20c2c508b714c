// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.dmabuf;

import dev.alcove.bindings.dmabuf.dma_buf_export_sync_file;
import dev.alcove.bindings.dmabuf.dma_buf_import_sync_file;
import dev.alcove.bindings.dmabuf.dmabuf;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A dma-buf (drivers/dma-buf/dma-buf.c). It has a size and can be handed on; all else is its exporter's. No device of this
 * machine works behind the CPU's back, so there are no fences to wait for.
 */
public final class DmaBufFile extends OpenFile {
    private static final int SYNC = (int) dmabuf.DMA_BUF_IOCTL_SYNC();
    private static final int SET_NAME_A = (int) dmabuf.DMA_BUF_SET_NAME_A();
    private static final int SET_NAME_B = (int) dmabuf.DMA_BUF_SET_NAME_B();
    private static final int EXPORT_SYNC_FILE = (int) dmabuf.DMA_BUF_IOCTL_EXPORT_SYNC_FILE();
    private static final int IMPORT_SYNC_FILE = (int) dmabuf.DMA_BUF_IOCTL_IMPORT_SYNC_FILE();
    private static final long READ_WRITE = dmabuf.DMA_BUF_SYNC_RW();
    private static final long END = dmabuf.DMA_BUF_SYNC_END();

    /** With the zero at its end. */
    private static final int MAX_NAME = 32;

    private static final int SECTOR = 512;

    private final long size;
    private final long inode;
    private final DmaBufExporter exporter;

    /**
     * @param size bytes, page aligned
     * @param flags O_ accmode and O_NONBLOCK
     */
    public DmaBufFile(long size, int flags, long inode, DmaBufExporter exporter) {
        super(flags);
        this.size = size;
        this.inode = inode;
        this.exporter = exporter;
    }

    /** Bytes. */
    public long size() {
        return size;
    }

    /** Whose memory it is. */
    public DmaBufExporter exporter() {
        return exporter;
    }

    /** Gives the buffer to somebody who maps it for devices: {@link DmaBufExporter#attach}. */
    public long attach(Runnable revoke) {
        return exporter.attach(revoke);
    }

    /** Undoes {@link #attach}. */
    public void detach(Runnable revoke) {
        exporter.detach(revoke);
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
        if (request == SYNC) {
            return sync(task, argument);
        }
        if (request == SET_NAME_A || request == SET_NAME_B) {
            return checkName(task, argument);
        }
        if (request == EXPORT_SYNC_FILE) {
            return exportSyncFile(task, argument);
        }
        return request == IMPORT_SYNC_FILE ? importSyncFile(task, argument) : -Errno.ENOTTY;
    }

    private long sync(Task task, long argument) {
        MemorySegment sync = MemorySegment.ofArray(new long[1]);
        int error = task.memory().copyIn(argument, sync);
        if (error != 0) {
            return error;
        }
        long flags = sync.get(ValueLayout.JAVA_LONG, 0);
        if ((flags & ~(READ_WRITE | END)) != 0 || (flags & READ_WRITE) == 0) {
            return -Errno.EINVAL;
        }
        return (flags & END) != 0 ? exporter.endCpuAccess() : exporter.beginCpuAccess();
    }

    /** The name shows in /proc/PID/fdinfo only, which there is none of: it is read and forgotten. */
    private static long checkName(Task task, long address) {
        MemorySegment character = MemorySegment.ofArray(new byte[1]);
        for (int i = 0; i < MAX_NAME; i++) {
            int error = task.memory().copyIn(address + i, character);
            if (error != 0) {
                return error;
            }
            if (character.get(ValueLayout.JAVA_BYTE, 0) == 0) {
                return 0;
            }
        }
        return -Errno.EINVAL;
    }

    private static long exportSyncFile(Task task, long argument) {
        MemorySegment struct = MemorySegment.ofArray(new int[2]);
        int error = task.memory().copyIn(argument, struct);
        if (error != 0) {
            return error;
        }
        if (!hasDirection(dma_buf_export_sync_file.flags(struct))) {
            return -Errno.EINVAL;
        }
        int fd = task.install(new SyncFile(), true);
        if (fd < 0) {
            return fd;
        }
        dma_buf_export_sync_file.fd(struct, fd);
        error = task.memory().copyOut(argument, struct);
        if (error != 0) {
            task.uninstall(fd);
        }
        return error;
    }

    private static long importSyncFile(Task task, long argument) {
        MemorySegment struct = MemorySegment.ofArray(new int[2]);
        int error = task.memory().copyIn(argument, struct);
        if (error != 0) {
            return error;
        }
        boolean fits = hasDirection(dma_buf_import_sync_file.flags(struct))
                && task.file(dma_buf_import_sync_file.fd(struct)) instanceof SyncFile;
        return fits ? 0 : -Errno.EINVAL;
    }

    private static boolean hasDirection(int flags) {
        return (flags & ~READ_WRITE) == 0 && (flags & READ_WRITE) != 0;
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        return offset + length > size
                ? new Mapping.Refused(Errno.EINVAL)
                : exporter.map(offset, (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE);
    }

    @Override
    public Stat stat() {
        return new Stat(inode, 0600, size, size / SECTOR);
    }

    @Override
    protected void release() {
        exporter.release();
    }
}
