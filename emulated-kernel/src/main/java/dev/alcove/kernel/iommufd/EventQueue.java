// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/**
 * Something that a user reads from a file of its own. The file is a user of the queue, and keeps its context alive. A read
 * never waits.
 */
abstract sealed class EventQueue extends IommufdObject permits FaultQueue, VirtualEventQueue {
    private final IommufdContext context;
    private final QueueFile file = new QueueFile();

    EventQueue(int id, IommufdContext context) {
        super(id);
        this.context = context;
    }

    /** The file, for its one descriptor. */
    final OpenFile open() {
        context.objects().use(this, 1);
        context.get();
        return file;
    }

    /** Tells who polls the file that there is something to read, or no longer; the queue's lock is not held. */
    final void wake() {
        file.changed();
    }

    abstract long read(MemorySegment buffer);

    abstract long write(MemorySegment buffer);

    /** The poll(2) events that hold now. */
    abstract int poll();

    private final class QueueFile extends OpenFile {
        QueueFile() {
            super(Linux.O_RDWR);
        }

        private void changed() {
            wake();
        }

        @Override
        public long read(Task task, MemorySegment buffer) {
            long done = EventQueue.this.read(buffer);
            wake();
            return done;
        }

        @Override
        public long write(Task task, MemorySegment buffer) {
            return EventQueue.this.write(buffer);
        }

        @Override
        public int poll() {
            return EventQueue.this.poll();
        }

        @Override
        public boolean polls() {
            return true;
        }

        @Override
        public boolean transfers() {
            return true;
        }

        @Override
        public boolean anonymous() {
            return true;
        }

        @Override
        public Stat stat() {
            return new Stat(0, 0600, 0, 0);
        }

        @Override
        protected void release() {
            context.objects().use(EventQueue.this, -1);
            context.put();
        }
    }
}
