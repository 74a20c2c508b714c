// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.mm.HugePages;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;

/**
 * A file of huge pages of one size: memfd_create(MFD_HUGETLB), and what is behind mmap(MAP_HUGETLB). Each of its pages comes from
 * the machine's pool when it is mapped or allocated, and goes back when it is cut off or punched out.
 *
 * <p>What it has taken from the pool is guarded by the set's monitor, which is below the file's lock.
 *
 * <p>One thing differs from Linux: MAP_NORESERVE takes the pages from the pool at once, too.
 */
public final class HugetlbFile extends MemoryFile {
    private static final int MOST = 1 << 30;
    private static final int MAP_POPULATE = 0x8000;

    private final HugePages pool;
    /** Numbers of the huge pages that are taken from the pool. */
    private final BitSet taken = new BitSet();

    /**
     * @param pool where its pages come from
     * @param seals F_SEAL_ bits; with F_SEAL_SEAL none can be added
     */
    public HugetlbFile(PhysicalMemory memory, HugePages pool, int seals, long inode) {
        super(memory, PageStore.huge(memory, pool), seals, inode);
        this.pool = pool;
    }

    /** The pool that its pages come from. */
    public HugePages pool() {
        return pool;
    }

    /** Takes what [from, to), in huge pages, lacks; false when the pool has not so many. */
    private boolean take(long from, long to) {
        synchronized (taken) {
            long lacking = to - from - taken.get((int) from, (int) to).cardinality();
            if (pool.take(lacking) != 0) {
                return false;
            }
            taken.set((int) from, (int) to);
            return true;
        }
    }

    private void giveBack(long from, long to) {
        synchronized (taken) {
            int first = (int) Math.min(from, MOST);
            int last = (int) Math.min(to, MOST);
            if (first < last) {
                pool.give(taken.get(first, last).cardinality());
                taken.clear(first, last);
            }
        }
    }

    /** Such files have no write operation. */
    @Override
    public long write(Task task, MemorySegment buffer) {
        return -Errno.EINVAL;
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        return -Errno.EINVAL;
    }

    @Override
    public int truncate(Task task, long length) {
        if (!pool.aligned(length)) {
            return -Errno.EINVAL;
        }
        int answer = super.truncate(task, length);
        if (answer == 0) {
            giveBack(pool.count(length), MOST);
        }
        return answer;
    }

    @Override
    public int fallocate(Task task, int mode, long offset, long length) {
        if ((mode & ~(Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE)) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        long end = offset + length;
        if ((mode & Linux.FALLOC_FL_PUNCH_HOLE) != 0) {
            int answer = super.fallocate(task, mode, offset, length);
            if (answer == 0) {
                giveBack(pool.count(offset), end / pool.bytes());
            }
            return answer;
        }
        long first = offset / pool.bytes();
        long last = pool.count(end);
        if (end > size() && (seals() & F_SEAL_GROW) != 0) {
            return -Errno.EPERM;
        }
        if (last > MOST || !take(first, last)) {
            return -Errno.ENOSPC;
        }
        if ((mode & Linux.FALLOC_FL_KEEP_SIZE) == 0) {
            extend(end);
        }
        return populate(first, last) ? 0 : -Errno.ENOSPC;
    }

    /** Makes huge pages present; past the end there is only the promise of one. */
    private boolean populate(long first, long end) {
        for (long page = first; page < end; page++) {
            if (store().frame(page * pool.frames()) == -Errno.ENOMEM) {
                return false;
            }
        }
        return true;
    }

    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        if (!pool.aligned(offset) || !pool.aligned(length) || offset + length < 0) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        Mapping mapping = super.map(task, offset, length, protection, flags);
        if (mapping instanceof Mapping.Refused) {
            return mapping;
        }
        boolean shared = (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE;
        long end = pool.count(offset + length);
        if (end > MOST || (shared && !take(offset / pool.bytes(), end))) {
            return new Mapping.Refused(Errno.ENOMEM);
        }
        if ((protection & Linux.PROT_WRITE) != 0) {
            extend(offset + length);
        }
        if (shared && (flags & MAP_POPULATE) != 0) {
            populate(offset / pool.bytes(), end);
        }
        return mapping;
    }

    @Override
    protected long seekHole(long offset, boolean data) {
        return data ? offset : size();
    }

    @Override
    public Stat stat() {
        Stat stat = super.stat();
        return new Stat(stat.inode(), stat.mode(), stat.size(), store().presentUnits() * (pool.bytes() / 512), 0);
    }

    @Override
    protected void release() {
        super.release();
        giveBack(0, MOST);
    }
}
