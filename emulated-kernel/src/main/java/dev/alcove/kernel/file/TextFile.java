// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/** A read-only file of sysfs or procfs: its text as it was when it was opened. The position is under its monitor. */
final class TextFile extends OpenFile {
    private final MemorySegment text;
    private final long inode;
    private long position;

    TextFile(String text, long inode) {
        super(Linux.O_RDONLY | Linux.O_LARGEFILE);
        this.text = MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8));
        this.inode = inode;
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        long length = Math.clamp(text.byteSize() - offset, 0, buffer.byteSize());
        if (length > 0) {
            MemorySegment.copy(text, ValueLayout.JAVA_BYTE, offset, buffer, ValueLayout.JAVA_BYTE, 0, length);
        }
        return length;
    }

    @Override
    public synchronized long read(Task task, MemorySegment buffer) {
        long done = pread(task, buffer, position);
        position += done;
        return done;
    }

    @Override
    public synchronized long seek(Task task, long offset, int whence) {
        long target = switch (whence) {
            case Linux.SEEK_SET -> offset;
            case Linux.SEEK_CUR -> position + offset;
            default -> -1;
        };
        if (target < 0) {
            return -Errno.EINVAL;
        }
        position = target;
        return target;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFREG | 0444, Linux.PAGE_SIZE, 0);
    }

    @Override
    protected void release() {}
}
