// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.Waiter;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CopyOnWriteArrayList;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

/**
 * An eventfd: a counter that reads wait for. The kernel's own users (irqfd, VFIO triggers) call {@link #signal} and
 * {@link #consume}, and {@link #listen}.
 *
 * <p>The counter is guarded by the file's monitor; listeners run without it. A subclass may have its counter elsewhere.
 */
public class EventFile extends OpenFile {
    /** The counter's largest value, unsigned: 2^64 - 2. */
    private static final long MAX = -2;

    private final boolean semaphore;
    private final long inode;
    private final CopyOnWriteArrayList<Actor> acting = new CopyOnWriteArrayList<>();
    private long counter;

    /** @param flags EFD_SEMAPHORE, EFD_NONBLOCK */
    public EventFile(int initial, int flags, long inode) {
        super(Linux.O_RDWR | (flags & Linux.EFD_NONBLOCK));
        this.counter = Integer.toUnsignedLong(initial);
        this.semaphore = (flags & Linux.EFD_SEMAPHORE) != 0;
        this.inode = inode;
    }

    /** Adds to the counter, up to its largest value, and wakes whoever waits ({@code eventfd_signal}). */
    public void signal(long count) {
        synchronized (this) {
            long room = MAX + 1 - counter;
            counter += Long.compareUnsigned(count, room) < 0 ? count : room;
        }
        signalled();
    }

    /** What acts on every signal, also when another one has taken it off the counter already. It keeps no file open. */
    public interface Actor {
        /** The eventfd was signalled. Runs as {@link #listen} says. */
        void signalled();

        /** The eventfd is closed for good. */
        void hungUp();
    }

    /** Registers an actor; the newest comes first. */
    public void act(Actor actor) {
        acting.addFirst(actor);
    }

    /** Undoes {@link #act}. */
    public void cease(Actor actor) {
        acting.remove(actor);
    }

    private void signalled() {
        acting.forEach(Actor::signalled);
        wake();
    }

    /** Takes the counter's value, or 1 of a semaphore's, as read(2) does; 0 when there is none. */
    public long consume() {
        long value;
        synchronized (this) {
            value = counter == 0 ? 0 : semaphore ? 1 : counter;
            counter -= value;
        }
        if (value != 0) {
            wake();
        }
        return value;
    }

    @Override
    public long read(Task task, MemorySegment buffer) {
        if (buffer.byteSize() < Long.BYTES) {
            return -Errno.EINVAL;
        }
        long value = consume();
        if (value == 0) {
            if (nonBlocking()) {
                return -Errno.EAGAIN;
            }
            try (Waiter waiter = new Waiter(task, this)) {
                for (value = consume(); value == 0; value = consume()) {
                    if (waiter.await() != 0) {
                        return -Errno.EINTR;
                    }
                }
            }
        }
        buffer.set(JAVA_LONG_UNALIGNED, 0, value);
        return Long.BYTES;
    }

    @Override
    public long write(Task task, MemorySegment buffer) {
        if (buffer.byteSize() != Long.BYTES) {
            return -Errno.EINVAL;
        }
        long value = buffer.get(JAVA_LONG_UNALIGNED, 0);
        if (value == -1) {
            return -Errno.EINVAL;
        }
        if (!add(value)) {
            if (nonBlocking()) {
                return -Errno.EAGAIN;
            }
            try (Waiter waiter = new Waiter(task, this)) {
                while (!add(value)) {
                    if (waiter.await() != 0) {
                        return -Errno.EINTR;
                    }
                }
            }
        }
        signalled();
        return Long.BYTES;
    }

    private synchronized boolean add(long value) {
        if (Long.compareUnsigned(MAX - counter, value) < 0) {
            return false;
        }
        counter += value;
        return true;
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        return 0;
    }

    @Override
    public synchronized int poll() {
        int events = 0;
        if (counter != 0) {
            events |= Linux.POLLIN;
        }
        if (counter == -1) {
            events |= Linux.POLLERR;
        }
        if (Long.compareUnsigned(counter, MAX) < 0) {
            events |= Linux.POLLOUT;
        }
        return events;
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
        return new Stat(inode, 0600, 0, 0);
    }

    @Override
    protected void release() {
        acting.forEach(Actor::hungUp);
    }
}
