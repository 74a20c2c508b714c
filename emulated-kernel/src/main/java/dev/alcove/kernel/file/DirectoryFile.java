// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/** An open directory: the entries as they were when it was opened. The position is under its monitor. */
public final class DirectoryFile extends OpenFile {
    static final byte DT_CHR = 2;
    static final byte DT_DIR = 4;
    static final byte DT_REG = 8;
    static final byte DT_LNK = 10;

    /** @param type one of the DT_ numbers */
    record Entry(String name, long inode, byte type) {}

    /** Bytes of a {@code struct linux_dirent64} before the name. */
    private static final int HEADER = 19;

    private final String path;
    private final List<Entry> entries;
    private final long inode;
    private int position;

    DirectoryFile(String path, List<Entry> entries, long inode) {
        super(Linux.O_RDONLY | Linux.O_LARGEFILE | Linux.O_DIRECTORY);
        this.path = path;
        this.entries = entries;
        this.inode = inode;
    }

    /** Where it is, as it was opened: what openat(2) and its like start from. */
    public String path() {
        return path;
    }

    @Override
    public synchronized int readDirectory(Task task, MemorySegment buffer) {
        int used = 0;
        while (position < entries.size()) {
            Entry entry = entries.get(position);
            byte[] name = entry.name().getBytes(StandardCharsets.UTF_8);
            int length = HEADER + name.length + 1 + 7 & -8;
            if (used + length > buffer.byteSize()) {
                return used > 0 ? used : -Errno.EINVAL;
            }
            position++;
            MemorySegment record = buffer.asSlice(used, length).fill((byte) 0);
            record.set(JAVA_LONG_UNALIGNED, 0, entry.inode());
            record.set(JAVA_LONG_UNALIGNED, 8, position);
            record.set(JAVA_SHORT_UNALIGNED, 16, (short) length);
            record.set(JAVA_BYTE, 18, entry.type());
            MemorySegment.copy(name, 0, record, JAVA_BYTE, HEADER, name.length);
            used += length;
        }
        return used;
    }

    @Override
    public long read(Task task, MemorySegment buffer) {
        return -Errno.EISDIR;
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        return -Errno.EISDIR;
    }

    @Override
    public synchronized long seek(Task task, long offset, int whence) {
        if (whence != Linux.SEEK_SET || offset < 0) {
            return -Errno.EINVAL;
        }
        position = (int) Math.min(offset, entries.size());
        return offset;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFDIR | 0755, 0, 0);
    }

    @Override
    protected void release() {}
}
