// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * The kernel's own way to the memory of an address space, without a device ({@code struct iommufd_access}). Its creator is
 * its user until it destroys it.
 *
 * <p>Locks: {@code lock} for the address space, above the locks of its table; {@code notifying} is held for reading while
 * the user is told about an unmap, for writing to end that for good. Neither may be held by who calls into here.
 */
public final class IommufdAccess extends IommufdObject {
    /** Flag of {@link #rw}: to the address space, not from it. */
    public static final int WRITE = 1;

    /** Flag of {@link #rw}: as if another process asked. */
    public static final int SLOW = 4;

    private final IommufdContext context;
    private final boolean pins;
    private final @Nullable AccessUser user;
    private final ReentrantLock lock = new ReentrantLock();
    private final ReentrantReadWriteLock notifying = new ReentrantReadWriteLock();
    private boolean ended;

    /** Null while there is none, or while it is being changed. */
    private @Nullable Ioas ioas;

    /** What was pinned is unpinned there, also while the address space is being changed. */
    private @Nullable Ioas ioasOfPins;

    /** @param user null for iommufd itself: its pins keep areas from being unmapped, and it does not keep the context */
    IommufdAccess(int id, IommufdContext context, boolean pins, @Nullable AccessUser user) {
        super(id);
        this.context = context;
        this.pins = pins;
        this.user = user;
    }

    /** Whether iommufd itself uses it. */
    boolean internal() {
        return user == null;
    }

    /** How every area of the address space must be aligned. */
    long alignment() {
        return pins ? Linux.PAGE_SIZE : 1;
    }

    /** Whether it was made to pin pages. */
    public boolean pins() {
        return pins;
    }

    /** The first address space: 0; {@code -EINVAL} there is one; {@code -ENOENT}; {@code -EADDRINUSE} areas not aligned. */
    public int attach(int ioasId) {
        lock.lock();
        try {
            return ioas != null ? -Errno.EINVAL : change(ioasId);
        } finally {
            lock.unlock();
        }
    }

    /** Another address space; the user is told to unpin everything. {@code -ENOENT} also when there was none. */
    public int replace(int ioasId) {
        lock.lock();
        try {
            return ioas == null ? -Errno.ENOENT : change(ioasId);
        } finally {
            lock.unlock();
        }
    }

    private int change(int ioasId) {
        Ioas next = context.objects().get(ioasId, Ioas.class);
        if (next == null) {
            return -Errno.ENOENT;
        }
        int error = change(next);
        context.objects().put(next);
        return error;
    }

    /** The caller holds the lock; it is let go while the user is told. */
    int change(@Nullable Ioas next) {
        Ioas current = ioas;
        if (current != ioasOfPins) {
            return -Errno.EBUSY;
        }
        if (current == next) {
            return 0;
        }
        // Nothing is pinned any more from here on.
        ioas = null;
        if (next != null) {
            int error = next.table.addAccess(this);
            if (error != 0) {
                ioas = current;
                return error;
            }
            context.objects().use(next, 1);
        }
        if (current != null) {
            if (user != null) {
                lock.unlock();
                try {
                    user.unmap(0, -1);
                } finally {
                    lock.lock();
                }
            }
            current.table.removeAccess(this);
            context.objects().use(current, -1);
        }
        ioas = next;
        ioasOfPins = next;
        return 0;
    }

    /** For iommufd itself. */
    int attach(Ioas next) {
        lock.lock();
        try {
            return change(next);
        } finally {
            lock.unlock();
        }
    }

    /** Tells the user about an unmap, unless it is gone. */
    void notifyUnmap(long iova, long last) {
        if (user == null) {
            return;
        }
        notifying.readLock().lock();
        try {
            if (!ended) {
                user.unmap(iova, last);
            }
        } finally {
            notifying.readLock().unlock();
        }
    }

    /**
     * Pins the pages behind a range, until {@link #unpinPages} of the very same range.
     *
     * @param frames receives the frames, as many as the range touches
     * @return 0; {@code -EINVAL} empty, not page aligned in its memory, registers, or being unmapped;
     *     {@code -EOVERFLOW}; {@code -ENOENT} no address space or a hole; {@code -EPERM}; {@code -EFAULT -ENOMEM}
     */
    public int pinPages(long iova, long length, long[] frames, boolean write) {
        if (length == 0) {
            return -Errno.EINVAL;
        }
        if (Long.compareUnsigned(iova + length - 1, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        lock.lock();
        try {
            return ioas == null
                    ? -Errno.ENOENT
                    : ioas.table.accesses().pin(iova, iova + length - 1, frames, write, internal());
        } finally {
            lock.unlock();
        }
    }

    /** Undoes {@link #pinPages}. */
    public void unpinPages(long iova, long length) {
        lock.lock();
        try {
            if (ioasOfPins != null) {
                ioasOfPins.table.accesses().unpin(iova, iova + length - 1, internal());
            }
        } finally {
            lock.unlock();
        }
    }

    /**
     * Copies.
     *
     * @param task who asks
     * @param flags {@link #WRITE}, {@link #SLOW}
     * @return 0; {@code -EINVAL} empty, registers, or being unmapped; {@code -EOVERFLOW}; {@code -ENOENT} no address space
     *     or a hole; {@code -EPERM}; {@code -EFAULT -ENOMEM}. On an error a part may have been copied.
     */
    public int rw(Task task, long iova, MemorySegment data, int flags) {
        long length = data.byteSize();
        if (length == 0) {
            return -Errno.EINVAL;
        }
        if (Long.compareUnsigned(iova + length - 1, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        lock.lock();
        try {
            return ioas == null ? -Errno.ENOENT : ioas.table.accesses().rw(task, iova, data, flags);
        } finally {
            lock.unlock();
        }
    }

    /** Maps the IOVA of the n-th area and an offset into it, as a random test wants it: {@code offset << 32 | n}. */
    public long iovaOfNthArea(long coordinates) {
        lock.lock();
        try {
            return ioas == null ? 0 : ioas.table.mapped().iovaOfNthArea((int) coordinates, coordinates >>> 32);
        } finally {
            lock.unlock();
        }
    }

    /** The creator is done; nobody is told about unmaps any more. */
    public void end() {
        notifying.writeLock().lock();
        try {
            ended = true;
        } finally {
            notifying.writeLock().unlock();
        }
        context.objects().remove(this, false);
    }

    @Override
    protected void destroy() {
        lock.lock();
        try {
            if (change((Ioas) null) != 0) {
                throw new AssertionError("an access that is gone is being changed");
            }
        } finally {
            lock.unlock();
        }
        if (!internal()) {
            context.put();
        }
    }
}
