// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

/**
 * A text file of sysfs, procfs or debugfs. Its text is as it was when somebody read from the start of it; text and
 * position are under the monitor.
 */
public final class TextFile extends OpenFile {
    /** What one write takes at most, in bytes, as in sysfs. */
    private static final int LONGEST = Linux.PAGE_SIZE;

    private final Attribute attribute;
    private final long inode;
    private final int mode;
    private byte[] text;
    private long position;

    /**
     * @param task who opens it
     * @param mode permissions
     * @param flags of open(2)
     */
    TextFile(Task task, Attribute attribute, long inode, int mode, int flags) {
        super((flags & (Linux.O_ACCMODE | Linux.O_NONBLOCK)) | Linux.O_LARGEFILE);
        this.attribute = attribute;
        this.inode = inode;
        this.mode = mode;
        text = readable() ? bytes(task) : new byte[0];
    }

    private byte[] bytes(Task task) {
        return attribute.read(task).getBytes(StandardCharsets.UTF_8);
    }

    /** The text as somebody reads it now. */
    public synchronized byte[] text() {
        return text.clone();
    }

    @Override
    public synchronized long pread(Task task, MemorySegment buffer, long offset) {
        if (offset == 0) {
            text = bytes(task);
        }
        long length = Math.clamp(text.length - offset, 0, buffer.byteSize());
        MemorySegment.copy(text, (int) Math.min(offset, text.length), buffer, JAVA_BYTE, 0, (int) length);
        return length;
    }

    @Override
    public synchronized long read(Task task, MemorySegment buffer) {
        long done = pread(task, buffer, position);
        position += done;
        return done;
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        long length = Math.min(buffer.byteSize(), LONGEST);
        byte[] written = buffer.asSlice(0, length).toArray(JAVA_BYTE);
        long error = attribute.write(task, new String(written, StandardCharsets.UTF_8));
        return error < 0 ? error : length;
    }

    @Override
    public synchronized long write(Task task, MemorySegment buffer) {
        long done = pwrite(task, buffer, position);
        position += Math.max(0, done);
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

    /** O_TRUNC and ftruncate(2) do nothing to such a file. */
    @Override
    public int truncate(Task task, long length) {
        return 0;
    }

    @Override
    public boolean transfers() {
        return true;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFREG | mode, Linux.PAGE_SIZE, 0);
    }

    @Override
    protected void release() {}
}
