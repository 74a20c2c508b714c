// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.locking.PercpuCount;
import dev.alcove.kernel.mm.Referenced;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * An open file description ({@code struct file}): what a descriptor, a mapping or another kernel object refers to.
 * Born with one reference; {@link #release} runs when the last one is dropped, and every call that has borrowed the file
 * is over. Calls borrow ({@link #borrow}) what they find by a descriptor instead of taking a reference, so that threads
 * that use the same file write to no common cache line. Once the references are gone nobody can borrow any more; a call
 * that has borrowed may still take references.
 *
 * <p>Every operation answers a value or a negated errno. The defaults are what Linux answers for a file whose driver
 * lacks the operation.
 *
 * <p>References, flags and listeners are atomic each; the subclass says what protects the rest.
 */
public abstract class OpenFile implements Referenced {
    /** What F_SETFL can change. */
    private static final int CHANGEABLE = 0x400 | Linux.O_NONBLOCK;

    private final AtomicInteger references = new AtomicInteger(1);
    private final PercpuCount borrowers = new PercpuCount();
    /** There was a moment without references: nobody begins to borrow any more. */
    private volatile boolean closed;

    private final AtomicBoolean released = new AtomicBoolean();
    private final CopyOnWriteArrayList<Runnable> listeners = new CopyOnWriteArrayList<>();
    private volatile int flags;

    /** @param flags O_ accmode and status flags as F_GETFL shows them */
    protected OpenFile(int flags) {
        this.flags = flags;
    }

    /** Takes a reference ({@code fget}); the caller knows of one that stays meanwhile. */
    @Override
    public final void get() {
        references.incrementAndGet();
    }

    /** Takes a reference unless the last one is gone already. */
    public final boolean tryGet() {
        while (true) {
            int count = references.get();
            if (count == 0) {
                return false;
            }
            if (references.compareAndSet(count, count + 1)) {
                return true;
            }
        }
    }

    /** Drops a reference ({@code fput}); the last one releases the file. */
    @Override
    public final void put() {
        if (references.decrementAndGet() == 0) {
            closed = true;
            releaseIfUnused();
        }
    }

    /** Keeps the file from being released until {@link #giveBack}, for the time of a call; false when it is closed. */
    public final boolean borrow() {
        borrowers.increment();
        if (closed) {
            giveBack();
            return false;
        }
        return true;
    }

    /** Ends what {@link #borrow} began. */
    public final void giveBack() {
        borrowers.decrement();
        if (closed) {
            releaseIfUnused();
        }
    }

    /** In this order: without borrowers, now and for good, references can only go, once they are gone. */
    private void releaseIfUnused() {
        if (borrowers.sum() == 0 && references.get() == 0 && released.compareAndSet(false, true)) {
            release();
        }
    }

    /** What F_GETFL answers. */
    public final int flags() {
        return flags;
    }

    /** F_SETFL. */
    public final synchronized void setFlags(int wanted) {
        flags = (flags & ~CHANGEABLE) | (wanted & CHANGEABLE);
    }

    /** Whether a call that would wait shall answer EAGAIN. */
    public final boolean nonBlocking() {
        return (flags & Linux.O_NONBLOCK) != 0;
    }

    /** Whether it was opened for reading. */
    public final boolean readable() {
        return (flags & Linux.O_ACCMODE) != Linux.O_WRONLY;
    }

    /** Whether it was opened for writing. */
    public final boolean writable() {
        return (flags & Linux.O_ACCMODE) != Linux.O_RDONLY;
    }

    /**
     * Registers what runs, on the thread of whoever causes it, whenever {@link #poll} may have changed. It must be
     * quick and take only leaf locks.
     */
    public final void listen(Runnable listener) {
        listeners.add(listener);
        listened();
    }

    /** Called after somebody has registered: for files that must be watched to know when they change. */
    protected void listened() {}

    /** Ends a registration; a call that is under way may still come to its end. */
    public final void unlisten(Runnable listener) {
        listeners.remove(listener);
    }

    /** Runs the listeners: what {@link #poll} answers has changed. */
    protected final void wake() {
        for (Runnable listener : listeners) {
            listener.run();
        }
    }

    /** Called once, after the last reference is gone. */
    protected abstract void release();

    /**
     * ioctl(2).
     *
     * @param argument the third argument as it is: an integer, or the address of a struct in the caller's memory
     */
    public long ioctl(Task task, int request, long argument) {
        return -Errno.ENOTTY;
    }

    /** read(2) at the file's own position, into kernel memory. */
    public long read(Task task, MemorySegment buffer) {
        return -Errno.EINVAL;
    }

    /** write(2) at the file's own position. */
    public long write(Task task, MemorySegment buffer) {
        return -Errno.EINVAL;
    }

    /** pread64(2). */
    public long pread(Task task, MemorySegment buffer, long offset) {
        return -Errno.ESPIPE;
    }

    /** pwrite64(2). */
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        return -Errno.ESPIPE;
    }

    /** lseek(2). */
    public long seek(Task task, long offset, int whence) {
        return -Errno.ESPIPE;
    }

    /** ftruncate(2), after the checks that the VFS makes for every file. */
    public int truncate(Task task, long length) {
        return -Errno.EINVAL;
    }

    /** fallocate(2), after the checks that the VFS makes for every file; regular files only. */
    public int fallocate(Task task, int mode, long offset, long length) {
        return -Errno.ENODEV;
    }

    /** getdents64(2). */
    public int readDirectory(Task task, MemorySegment buffer) {
        return -Errno.ENOTDIR;
    }

    /** Whether it has no path (an inode of anon_inode_fs or the like). */
    public boolean anonymous() {
        return false;
    }

    /** What mmap(2) of this file maps; offset and length are page aligned. */
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        return new Mapping.Refused(Errno.ENODEV);
    }

    /** The poll(2) events that hold now. */
    public int poll() {
        return Linux.POLLIN | Linux.POLLOUT;
    }

    /** Whether poll(2) is an operation of its own: epoll takes no other file. */
    public boolean polls() {
        return false;
    }

    /** Whether there is something to read(2) from it, or to write(2) to it. */
    public boolean transfers() {
        return false;
    }

    /** What fstat(2) tells. */
    public abstract Stat stat();

    /** F_GET_SEALS and F_ADD_SEALS; other files than memfds answer {@code -EINVAL}. */
    public int seals(Task task, int command, long argument) {
        return -Errno.EINVAL;
    }
}
