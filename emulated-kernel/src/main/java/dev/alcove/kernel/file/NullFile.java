// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** /dev/null, which a process has as its standard streams. */
public final class NullFile extends OpenFile {
    private final long inode;

    /** @param flags of open(2) */
    public NullFile(int flags, long inode) {
        super((flags & (Linux.O_ACCMODE | Linux.O_NONBLOCK)) | Linux.O_LARGEFILE);
        this.inode = inode;
    }

    @Override
    public long read(Task task, MemorySegment buffer) {
        return 0;
    }

    @Override
    public long write(Task task, MemorySegment buffer) {
        return buffer.byteSize();
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        return 0;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0666, 0, 0);
    }

    @Override
    protected void release() {}
}
