// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.locking.PercpuRwSemaphore;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.NavigableSet;
import java.util.Objects;
import java.util.TreeSet;

/**
 * A memfd, or shared anonymous memory, which is a memfd without a descriptor (shmem).
 *
 * <p>Size and contents as far as read and write go are under the file's lock, above the page store's; seals and the
 * position as well. To punch whole pages shares the lock, where Linux has one punch at a time: nothing tells two punches
 * at once from two in a row, because the page store does one after the other for each page.
 */
public class MemoryFile extends OpenFile {
    public static final int F_SEAL_SEAL = 1;
    public static final int F_SEAL_SHRINK = 2;
    public static final int F_SEAL_GROW = 4;
    public static final int F_SEAL_WRITE = 8;
    public static final int F_SEAL_FUTURE_WRITE = 0x10;
    public static final int F_SEAL_EXEC = 0x20;

    private static final int ALL_SEALS = 0x3f;
    private static final int NO_WRITING = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    private static final int PAGE = Linux.PAGE_SIZE;

    /** How many pages past the end are counted. */
    private static final int MOST_PAST = 1 << 16;

    private final PhysicalMemory memory;
    private final PageStore store;
    private final long inode;
    private final long largestFolio;
    private final Runnable release;
    private final PercpuRwSemaphore lock = new PercpuRwSemaphore();

    /** Pages past the end that fallocate(2) has reserved: nobody sees more of them than their number. */
    private final NavigableSet<Long> past = new TreeSet<>();

    private long size;
    private long position;
    private int seals;

    /**
     * @param size bytes
     * @param seals F_SEAL_ bits; with F_SEAL_SEAL none can be added
     * @param largestFolio bytes that a write takes in one step; a power of two, a page at least
     */
    public MemoryFile(PhysicalMemory memory, long size, int seals, long inode, long largestFolio) {
        super(Linux.O_RDWR | Linux.O_LARGEFILE);
        this.memory = memory;
        this.size = size;
        this.seals = seals;
        this.inode = inode;
        this.largestFolio = largestFolio;
        this.store = new PageStore(memory, pages(size), true);
        this.release = store::close;
    }

    /** An empty file of the kernel's with pages of another kind. */
    MemoryFile(PhysicalMemory memory, PageStore store, int seals, long inode) {
        super(Linux.O_RDWR | Linux.O_LARGEFILE);
        this.memory = memory;
        this.seals = seals;
        this.inode = inode;
        this.largestFolio = PAGE;
        this.store = store;
        this.release = store::close;
    }

    /**
     * A memfd of the host's.
     *
     * @param store its pages, which others may use too
     * @param size bytes
     * @param release called when the last reference is gone: ends the use of the store
     */
    public MemoryFile(PhysicalMemory memory, PageStore store, long size, Runnable release) {
        super(Linux.O_RDWR | Linux.O_LARGEFILE);
        this.memory = memory;
        this.size = size;
        this.seals = F_SEAL_SEAL;
        this.inode = 0;
        this.largestFolio = PAGE;
        this.store = store;
        this.release = release;
    }

    private static long pages(long bytes) {
        return (bytes >>> Linux.PAGE_SHIFT) + ((bytes & PAGE - 1) != 0 ? 1 : 0);
    }

    /** Its pages ({@code i_mapping}), for those who pin them by file. */
    public PageStore store() {
        return store;
    }

    /** Bytes. */
    public long size() {
        lock.readLock().lock();
        try {
            return size;
        } finally {
            lock.readLock().unlock();
        }
    }

    /** The seals. */
    public int seals() {
        lock.readLock().lock();
        try {
            return seals;
        } finally {
            lock.readLock().unlock();
        }
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        lock.readLock().lock();
        try {
            return get(buffer, offset);
        } finally {
            lock.readLock().unlock();
        }
    }

    @Override
    public long read(Task task, MemorySegment buffer) {
        lock.writeLock().lock();
        try {
            long done = get(buffer, position);
            position += Math.max(0, done);
            return done;
        } finally {
            lock.writeLock().unlock();
        }
    }

    private long get(MemorySegment buffer, long offset) {
        if (offset + buffer.byteSize() < 0) {
            return -Errno.EINVAL;
        }
        long length = Math.clamp(size - offset, 0, buffer.byteSize());
        for (long done = 0; done < length; ) {
            long at = offset + done;
            long piece = Math.min(length - done, PAGE - (at & PAGE - 1));
            long frame = store.frameIfPresent(at >> Linux.PAGE_SHIFT);
            if (frame < 0) {
                buffer.asSlice(done, piece).fill((byte) 0);
            } else {
                MemorySegment.copy(memory.view(), (frame << Linux.PAGE_SHIFT) + (at & PAGE - 1), buffer, done, piece);
            }
            done += piece;
        }
        return length;
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        lock.writeLock().lock();
        try {
            return set(buffer, offset);
        } finally {
            lock.writeLock().unlock();
        }
    }

    @Override
    public long write(Task task, MemorySegment buffer) {
        lock.writeLock().lock();
        try {
            long done = set(buffer, position);
            position += Math.max(0, done);
            return done;
        } finally {
            lock.writeLock().unlock();
        }
    }

    private long set(MemorySegment buffer, long offset) {
        long length = buffer.byteSize();
        if (offset + length < 0) {
            return -Errno.EINVAL;
        }
        long done = 0;
        while (done < length) {
            long at = offset + done;
            long piece = Math.min(length - done, PAGE - (at & PAGE - 1));
            long step = Math.min(length - done, largestFolio - (at & largestFolio - 1));
            if ((seals & NO_WRITING) != 0 || ((seals & F_SEAL_GROW) != 0 && at + step > size)) {
                return done > 0 ? done : -Errno.EPERM;
            }
            long old = size;
            if (at + piece > size) {
                grow(at + piece);
            }
            long frame = store.frame(at >> Linux.PAGE_SHIFT);
            if (frame < 0) {
                if (size != old) {
                    store.resize(pages(old));
                    size = old;
                }
                return done > 0 ? done : -Errno.ENOSPC;
            }
            MemorySegment.copy(buffer, done, memory.view(), (frame << Linux.PAGE_SHIFT) + (at & PAGE - 1), piece);
            done += piece;
        }
        return done;
    }

    /** Makes the file longer if it is shorter than that. */
    final void extend(long bytes) {
        lock.writeLock().lock();
        try {
            if (bytes > size) {
                grow(bytes);
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    private void grow(long bytes) {
        if (pages(bytes) != store.pages()) {
            store.resize(pages(bytes));
        }
        size = bytes;
        for (NavigableSet<Long> within = past.headSet(store.pages(), false); !within.isEmpty(); ) {
            store.reserve(Objects.requireNonNull(within.pollFirst()), false);
        }
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        lock.writeLock().lock();
        try {
            long target = switch (whence) {
                case Linux.SEEK_SET -> offset;
                case Linux.SEEK_CUR -> position + offset;
                case Linux.SEEK_END -> size + offset;
                case Linux.SEEK_DATA, Linux.SEEK_HOLE -> seek(offset, whence == Linux.SEEK_DATA);
                default -> -Errno.EINVAL;
            };
            if (target < 0) {
                return target == -Errno.ENXIO ? target : -Errno.EINVAL;
            }
            position = target;
            return target;
        } finally {
            lock.writeLock().unlock();
        }
    }

    private long seek(long offset, boolean data) {
        if (offset < 0 || offset >= size) {
            return -Errno.ENXIO;
        }
        return seekHole(offset, data);
    }

    /** Where data or a hole begins from an offset inside the file on. */
    protected long seekHole(long offset, boolean data) {
        long first = offset >> Linux.PAGE_SHIFT;
        long end = pages(size);
        long page = data ? store.nextPresent(first, end) : store.nextAbsent(first, end);
        if (page == end) {
            return data ? -Errno.ENXIO : size;
        }
        return Math.max(offset, page << Linux.PAGE_SHIFT);
    }

    @Override
    public int truncate(Task task, long length) {
        lock.writeLock().lock();
        try {
            if ((length < size && (seals & F_SEAL_SHRINK) != 0) || (length > size && (seals & F_SEAL_GROW) != 0)) {
                return -Errno.EPERM;
            }
            if (length < size) {
                zero(length, Math.min(size, (length + PAGE - 1) & -PAGE));
            }
            if (length <= size) {
                past.clear();
            }
            grow(length);
            return 0;
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Clears a piece of one page, if the page is there. */
    private void zero(long from, long to) {
        long frame = from < to ? store.frameIfPresent(from >> Linux.PAGE_SHIFT) : -1;
        if (frame >= 0) {
            memory.view().asSlice((frame << Linux.PAGE_SHIFT) + (from & PAGE - 1), to - from).fill((byte) 0);
        }
    }

    @Override
    public int fallocate(Task task, int mode, long offset, long length) {
        if ((mode & ~(Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE)) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        boolean punches = (mode & Linux.FALLOC_FL_PUNCH_HOLE) != 0;
        if (punches && ((offset | length) & PAGE - 1) == 0 && punchShared(offset, offset + length)) {
            return 0;
        }
        lock.writeLock().lock();
        try {
            return punches
                    ? punch(offset, offset + length)
                    : allocate(task, offset, offset + length, (mode & Linux.FALLOC_FL_KEEP_SIZE) != 0);
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Punches whole pages, unless that is refused, or concerns what is guarded by the lock: nothing is done then. */
    private boolean punchShared(long from, long to) {
        lock.readLock().lock();
        try {
            if ((seals & NO_WRITING) != 0 || !past.isEmpty() || to > (size & -PAGE)) {
                return false;
            }
            store.punch(from >> Linux.PAGE_SHIFT, (to - from) >> Linux.PAGE_SHIFT);
            return true;
        } finally {
            lock.readLock().unlock();
        }
    }

    private int punch(long from, long to) {
        if ((seals & NO_WRITING) != 0) {
            return -Errno.EPERM;
        }
        if (!past.isEmpty()) {
            past.subSet((from + PAGE - 1) >> Linux.PAGE_SHIFT, Math.max(to, from + PAGE) >> Linux.PAGE_SHIFT)
                    .clear();
        }
        long end = Math.min(to, pages(size) << Linux.PAGE_SHIFT);
        if (from >= end) {
            return 0;
        }
        long firstWhole = (from + PAGE - 1) & -PAGE;
        long lastWhole = end & -PAGE;
        if (firstWhole > lastWhole) {
            zero(from, end);
            return 0;
        }
        zero(from, firstWhole);
        if (firstWhole < lastWhole) {
            store.punch(firstWhole >> Linux.PAGE_SHIFT, (lastWhole - firstWhole) >> Linux.PAGE_SHIFT);
        }
        zero(lastWhole, end);
        return 0;
    }

    private int allocate(Task task, long from, long to, boolean keepSize) {
        if (to > size && (seals & F_SEAL_GROW) != 0) {
            return -Errno.EPERM;
        }
        long old = size;
        if (!keepSize && to > size) {
            grow(to);
        }
        long end = Math.min(pages(to), store.pages());
        int error = 0;
        BitSet fresh = new BitSet();
        long first = from >> Linux.PAGE_SHIFT;
        for (long page = first; error == 0 && page < end; page++) {
            boolean interrupted = (task.signals().pending() & ~task.signals().blocked()) != 0;
            int reserved = interrupted ? -Errno.EINTR : store.reserve(page);
            error = reserved >= 0 ? 0 : interrupted ? -Errno.EINTR : -Errno.ENOSPC;
            if (reserved > 0) {
                fresh.set((int) (page - first));
            }
        }
        List<Long> promised = new ArrayList<>();
        long firstPast = Math.max(first, end);
        long most = Math.min(pages(to), firstPast + Math.max(0, MOST_PAST - past.size()));
        for (long page = firstPast; error == 0 && page < most; page++) {
            if (past.contains(page)) {
                continue;
            }
            if (memory.mayAllocatePage("page past the end")) {
                past.add(page);
                promised.add(page);
            } else {
                error = -Errno.ENOSPC;
            }
        }
        if (error != 0) {
            promised.forEach(past::remove);
            fresh.stream().forEach(page -> store.cancel(first + page));
            if (size != old) {
                store.resize(pages(old));
                size = old;
            }
        }
        return error;
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        boolean shared = (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE;
        if (shared && (protection & Linux.PROT_WRITE) != 0 && (seals() & NO_WRITING) != 0) {
            return new Mapping.Refused(Errno.EPERM);
        }
        return new Mapping.Pages(store, offset >> Linux.PAGE_SHIFT);
    }

    @Override
    public int seals(Task task, int command, long argument) {
        lock.writeLock().lock();
        try {
            if (command == Linux.F_GET_SEALS) {
                return seals;
            }
            if ((argument & ~ALL_SEALS) != 0) {
                return -Errno.EINVAL;
            }
            if ((seals & F_SEAL_SEAL) != 0) {
                return -Errno.EPERM;
            }
            if ((argument & F_SEAL_WRITE) != 0 && (seals & F_SEAL_WRITE) == 0 && (store.mappedWritable() || store.held())) {
                return -Errno.EBUSY;
            }
            seals |= (int) argument;
            return 0;
        } finally {
            lock.writeLock().unlock();
        }
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFREG | 0777, size(), (store.present() + past.size()) * 8, 0);
    }

    @Override
    protected void release() {
        release.run();
    }
}
