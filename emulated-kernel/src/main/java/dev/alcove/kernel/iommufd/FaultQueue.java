// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** A queue of page requests with a file to read them from. No device here makes page requests, so it stays empty. */
final class FaultQueue extends IommufdObject {
    private static final int RESPONSE_SIZE = 8;
    private static final int FAULT_SIZE = 40;

    private final ObjectTable objects;

    FaultQueue(int id, ObjectTable objects) {
        super(id);
        this.objects = objects;
    }

    @Override
    protected void destroy() {}

    /** A file for the queue: a user of it, and of the context, until it is closed. */
    OpenFile open(IommufdContext context) {
        objects.use(this, 1);
        context.get();
        return new QueueFile(context);
    }

    private final class QueueFile extends OpenFile {
        private final IommufdContext context;

        QueueFile(IommufdContext context) {
            super(Linux.O_RDWR);
            this.context = context;
        }

        @Override
        public long read(Task task, MemorySegment buffer) {
            return buffer.byteSize() % FAULT_SIZE != 0 ? -Errno.ESPIPE : 0;
        }

        @Override
        public long write(Task task, MemorySegment buffer) {
            long size = buffer.byteSize();
            return size % RESPONSE_SIZE != 0 ? -Errno.ESPIPE : size == 0 ? 0 : -Errno.EINVAL;
        }

        @Override
        public int poll() {
            return Linux.POLLOUT;
        }

        @Override
        public Stat stat() {
            return new Stat(0, 0600, 0, 0);
        }

        @Override
        protected void release() {
            objects.put(FaultQueue.this);
            context.put();
        }
    }
}
