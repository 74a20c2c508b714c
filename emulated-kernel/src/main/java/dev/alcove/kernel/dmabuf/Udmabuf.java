// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.dmabuf;

import dev.alcove.bindings.dmabuf.dmabuf;
import dev.alcove.bindings.dmabuf.udmabuf_create;
import dev.alcove.bindings.dmabuf.udmabuf_create_item;
import dev.alcove.bindings.dmabuf.udmabuf_create_list;
import dev.alcove.kernel.Subsystem;
import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** /dev/udmabuf: makes dma-bufs of pages of memfds (drivers/dma-buf/udmabuf.c). */
public final class Udmabuf implements Subsystem {
    private static final String PATH = "/dev/udmabuf";
    private static final int CREATE = (int) dmabuf.UDMABUF_CREATE();
    private static final int CREATE_LIST = (int) dmabuf.UDMABUF_CREATE_LIST();

    /** Module parameters with their defaults. */
    private static final int LIST_LIMIT = 1024;

    private static final long LIMIT_PAGES = (64L << 20) >> Linux.PAGE_SHIFT;

    private static final int NEEDED_SEALS = MemoryFile.F_SEAL_SHRINK;
    private static final int DENIED_SEALS = MemoryFile.F_SEAL_WRITE | MemoryFile.F_SEAL_FUTURE_WRITE;

    private final Allocator allocator;
    private final PhysicalMemory memory;
    private final Vfs vfs;

    /** A piece of a buffer, in bytes of a file. */
    private record Item(int fd, long offset, long size) {}

    /** Adds the device. */
    public Udmabuf(Allocator allocator, PhysicalMemory memory, Vfs vfs) {
        this.allocator = allocator;
        this.memory = memory;
        this.vfs = vfs;
        vfs.add(PATH, (task, flags) -> task.install(
                new DeviceFile((flags & ~Linux.O_CLOEXEC) | Linux.O_LARGEFILE), (flags & Linux.O_CLOEXEC) != 0));
    }

    @Override
    public void close() {
        vfs.remove(PATH);
    }

    private final class DeviceFile extends OpenFile {
        private final long inode = vfs.nextInode();

        DeviceFile(int flags) {
            super(flags);
        }

        @Override
        public long ioctl(Task task, int request, long argument) {
            return request == CREATE
                    ? create(task, argument)
                    : request == CREATE_LIST ? createList(task, argument) : -Errno.ENOTTY;
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
            return new Stat(inode, Stat.S_IFCHR | 0600, 0, 0);
        }

        @Override
        protected void release() {}
    }

    private static MemorySegment zeroes(long size) {
        return MemorySegment.ofArray(new long[(int) ((size + 7) >>> 3)]).asSlice(0, size);
    }

    private long create(Task task, long argument) {
        MemorySegment struct = zeroes(udmabuf_create.sizeof());
        int error = task.memory().copyIn(argument, struct);
        if (error != 0) {
            return error;
        }
        Item item = new Item(
                udmabuf_create.memfd(struct), udmabuf_create.offset(struct), udmabuf_create.size(struct));
        return create(task, udmabuf_create.flags(struct), List.of(item));
    }

    private long createList(Task task, long argument) {
        MemorySegment head = zeroes(udmabuf_create_list.sizeof());
        int error = task.memory().copyIn(argument, head);
        if (error != 0) {
            return error;
        }
        int count = udmabuf_create_list.count(head);
        if (Integer.compareUnsigned(count, LIST_LIMIT) > 0) {
            return -Errno.EINVAL;
        }
        if (count != 0 && !allocator.charge("list of a udmabuf")) {
            return -Errno.ENOMEM;
        }
        MemorySegment list = zeroes(count * udmabuf_create_item.sizeof());
        error = task.memory().copyIn(argument + head.byteSize(), list);
        if (error != 0) {
            return error;
        }
        List<Item> items = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            MemorySegment item = udmabuf_create_item.asSlice(list, i);
            items.add(new Item(
                    udmabuf_create_item.memfd(item), udmabuf_create_item.offset(item), udmabuf_create_item.size(item)));
        }
        return create(task, udmabuf_create_list.flags(head), items);
    }

    private long create(Task task, int flags, List<Item> items) {
        long pages = 0;
        for (Item item : items) {
            if (((item.offset | item.size) & Linux.PAGE_SIZE - 1) != 0) {
                return -Errno.EINVAL;
            }
            pages += item.size >>> Linux.PAGE_SHIFT;
            if (pages > LIMIT_PAGES) {
                return -Errno.EINVAL;
            }
        }
        if (pages == 0) {
            return -Errno.EINVAL;
        }
        if (!allocator.charge("udmabuf")) {
            return -Errno.ENOMEM;
        }
        if (!allocator.charge("pages of a udmabuf") || !allocator.charge("pinned folios of a udmabuf")) {
            return -Errno.ENOMEM;
        }
        PinnedFrames frames = new PinnedFrames(memory, (int) pages);
        for (Item item : items) {
            int error = pin(task, item, frames);
            if (error != 0) {
                frames.release();
                return error;
            }
        }
        if (!allocator.charge("dma-buf")) {
            frames.release();
            return -Errno.ENOMEM;
        }
        DmaBufFile file = new DmaBufFile(pages << Linux.PAGE_SHIFT, Linux.O_RDWR, vfs.nextInode(), frames.show());
        return task.install(file, (flags & dmabuf.UDMABUF_FLAGS_CLOEXEC()) != 0);
    }

    private static int pin(Task task, Item item, PinnedFrames frames) {
        if (!(task.file(item.fd) instanceof MemoryFile file)) {
            return -Errno.EBADFD;
        }
        int seals = file.seals();
        if ((seals & NEEDED_SEALS) != NEEDED_SEALS || (seals & DENIED_SEALS) != 0) {
            return -Errno.EINVAL;
        }
        if (item.offset < 0 || item.size == 0 || item.offset + item.size > file.size()) {
            return -Errno.EINVAL;
        }
        long first = item.offset >>> Linux.PAGE_SHIFT;
        long end = (item.offset + item.size) >>> Linux.PAGE_SHIFT;
        for (long page = first; page < end; page++) {
            long frame = file.store().pin(page);
            if (frame < 0) {
                return (int) frame;
            }
            frames.add(frame);
        }
        return 0;
    }
}
