// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.dmabuf.DmaBufFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Map;

/** DMABUF_GET and DMABUF_REVOKE: dma-bufs that play a device's registers, from Linux 7.0. */
final class DmaBufs {
    private static final int GET = 22;
    private static final int REVOKE = 23;

    private static final int LENGTH = TestCommand.BODY;
    private static final int OPEN_FLAGS = TestCommand.BODY + 4;
    private static final int FD = TestCommand.BODY;
    private static final int REVOKED = TestCommand.BODY + 4;

    private static final long MOST_PAGES = 512;

    private final PhysicalMemory memory;
    private final Vfs vfs;

    DmaBufs(PhysicalMemory memory, Vfs vfs) {
        this.memory = memory;
        this.vfs = vfs;
    }

    void addTo(Map<Integer, Operation> operations) {
        operations.put(GET, this::get);
        operations.put(REVOKE, DmaBufs::revoke);
    }

    private long get(TestCommand command) {
        long pages = (Integer.toUnsignedLong(command.word(LENGTH)) + Linux.PAGE_SIZE - 1) >>> Linux.PAGE_SHIFT;
        if (pages == 0 || pages > MOST_PAGES) {
            return -Errno.EINVAL;
        }
        int flags = command.word(OPEN_FLAGS);
        Allocator allocator = command.context().module().allocator();
        if (!allocator.charge("test dma-buf") || !allocator.charge("dma-buf")) {
            return -Errno.ENOMEM;
        }
        long frame = memory.allocate(pages);
        if (frame < 0) {
            return -Errno.ENOMEM;
        }
        memory.segment(frame, pages).fill((byte) 0);
        TestDmaBuf exporter = new TestDmaBuf(memory, frame, pages);
        int fileFlags = flags & (Linux.O_ACCMODE | Linux.O_NONBLOCK);
        OpenFile file = new DmaBufFile(pages << Linux.PAGE_SHIFT, fileFlags, vfs.nextInode(), exporter);
        return command.task().install(file, (flags & Linux.O_CLOEXEC) != 0);
    }

    private static long revoke(TestCommand command) {
        OpenFile file = command.task().file(command.word(FD));
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof DmaBufFile buffer)) {
            return -Errno.EINVAL;
        }
        if (!(buffer.exporter() instanceof TestDmaBuf exporter)) {
            return -Errno.EOPNOTSUPP;
        }
        exporter.revoke(command.word(REVOKED) != 0);
        return 0;
    }
}
