// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Proposal;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.locking.PercpuRwSemaphore;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.Lock;
import org.jspecify.annotations.Nullable;

/**
 * A guest_memfd ({@code KVM_CREATE_GUEST_MEMFD}): guest memory that user space holds by descriptor, and may map only if
 * the file was made with {@link #FLAG_MMAP}, and touch only if it was made with {@link #FLAG_INIT_SHARED} as well.
 *
 * <p>The file pins its virtual machine; a slot bound to it does not pin the file.
 *
 * <p>Lock: one per file ({@code filemap_invalidate_lock}), guards the bindings. Bindings, conversions and release hold it
 * alone. Punches and allocations share it, where Linux has one punch at a time: nothing tells two punches at once from
 * two in a row, because the page store does one after the other, and each has told the slots before and tells them
 * after. Order: the machine's slots lock, this lock, address spaces, page store, mmu lock. Faults of vCPUs do not take
 * it: they look at the invalidation sequence instead.
 */
public final class GuestMemfd extends OpenFile {
    /** GUEST_MEMFD_FLAG_MMAP. */
    public static final long FLAG_MMAP = 1;

    /** GUEST_MEMFD_FLAG_INIT_SHARED. */
    public static final long FLAG_INIT_SHARED = 2;

    /** A bound range of the file. */
    private record Binding(long first, long count, GmemSlot slot) {
        long end() {
            return first + count;
        }
    }

    private final KernelProfile profile;
    private final GmemOwner owner;
    private final long size;
    private final long flags;
    private final long inode;
    private final PageStore store;
    private final PercpuRwSemaphore semaphore = new PercpuRwSemaphore();
    private final Lock lock = semaphore.writeLock();
    private final Lock sharedLock = semaphore.readLock();

    /** By first page; disjoint. Never changed in place; replaced with the lock held alone. */
    private Binding[] bindings = {};

    /** Which pages are private; null without in-place conversion, where that is the machine's to say. */
    private final @Nullable MemoryAttributes attributes;

    private boolean released;

    /**
     * @param owner whose reference has been taken for this file
     * @param size bytes, positive, page aligned
     * @param flags {@code FLAG_} bits
     */
    public GuestMemfd(
            KernelProfile profile, PhysicalMemory memory, GmemOwner owner, long size, long flags, long inode) {
        super(Linux.O_RDWR | Linux.O_LARGEFILE);
        this.profile = profile;
        this.owner = owner;
        this.size = size;
        this.flags = flags;
        this.inode = inode;
        long pages = size >>> Linux.PAGE_SHIFT;
        boolean shared = (flags & FLAG_INIT_SHARED) != 0;
        boolean inPlace = profile.has(Proposal.IN_PLACE_CONVERSION);
        this.store = new PageStore(memory, pages, shared || inPlace);
        this.attributes = inPlace ? new MemoryAttributes() : null;
        if (attributes != null && !shared) {
            attributes.set(0, pages, true);
            store.conceal(0, pages);
        }
    }

    /** Whether it has shared and private pages, so that a slot takes all its memory from it. */
    public boolean convertsInPlace() {
        return attributes != null;
    }

    /** Whether a page is private, as far as the file says it: with in-place conversion only. */
    public boolean isPrivate(long index) {
        return attributes != null && attributes.isPrivate(index);
    }

    /** Whether a frame is one of this file's that no device may reach. */
    public boolean holdsPrivately(long pfn) {
        long index = store.indexOf(pfn);
        return index >= 0 && (attributes == null || attributes.isPrivate(index));
    }

    /** The private pages, with in-place conversion. */
    public List<MemoryAttributes.Interval> privatePages() {
        return attributes == null ? List.of() : attributes.intervals();
    }

    /** ioctl(2): nothing but in-place conversion. */
    @Override
    public long ioctl(Task task, int request, long argument) {
        return request == InPlaceConversion.SET_MEMORY_ATTRIBUTES2 && attributes != null
                ? InPlaceConversion.serve(this, owner.hasPrivateMemory(), task, argument)
                : -Errno.ENOTTY;
    }

    /**
     * Makes pages [first, end) private or shared; contents stay. A page becomes private only when nobody besides the file
     * holds its frame: user mappings let go of it by themselves, a pin does not.
     *
     * @return 0; a negated errno; or 1 and the first page that somebody holds, with nothing changed
     */
    long convert(long first, long end, boolean toPrivate) {
        MemoryAttributes present = Objects.requireNonNull(attributes);
        lock.lock();
        try {
            if (present.uniform(first, end, toPrivate)) {
                return 0;
            }
            if (!owner.charge("memory attributes")) {
                return -Errno.ENOMEM;
            }
            return toPrivate ? makePrivate(present, first, end) : makeShared(present, first, end);
        } finally {
            lock.unlock();
        }
    }

    private long makePrivate(MemoryAttributes present, long first, long end) {
        return switch (store.conceal(first, end)) {
            case PageStore.Concealed.Held(long page) -> page + 1;
            case PageStore.Concealed.NoMemory _ -> -Errno.ENOMEM;
            case PageStore.Concealed.Done _ -> {
                change(present, first, end, true);
                yield 0;
            }
        };
    }

    private long makeShared(MemoryAttributes present, long first, long end) {
        if (!store.reveal(first, end)) {
            return -Errno.ENOMEM;
        }
        change(present, first, end, false);
        return 0;
    }

    private void change(MemoryAttributes present, long first, long end, boolean toPrivate) {
        tell(first, end, true);
        present.set(first, end, toPrivate);
        tell(first, end, false);
    }

    /** Whether this file was made for that machine. */
    public boolean ownedBy(GmemOwner candidate) {
        return owner == candidate;
    }

    /** Bytes. */
    public long size() {
        return size;
    }

    /** Whether user space may map it; a slot bound to such a file takes all its memory from it. */
    public boolean mappable() {
        return (flags & FLAG_MMAP) != 0;
    }

    /**
     * The frame of a page ({@code kvm_gmem_get_pfn}), allocated and zeroed when there is none. No reference is taken:
     * the caller detects invalidations.
     *
     * @return the frame, or a negated errno
     */
    public long frame(long index) {
        return store.frame(index);
    }

    /** The frame of a page, or -1 when it has none yet. */
    public long frameIfPresent(long index) {
        return store.frameIfPresent(index);
    }

    /** Pages that have a frame. */
    public long present() {
        return store.present();
    }

    /**
     * Binds a range to a slot ({@code kvm_gmem_bind}).
     *
     * @param offset bytes, page aligned
     * @param length bytes, page aligned, positive
     * @return 0; {@code -EINVAL} where the range leaves the file; {@code -EEXIST} where a part is bound already
     *     ({@code -EINVAL} before 7.2);
     *     {@code -EBADF} when the file has just been closed
     */
    public int bind(GmemSlot slot, long offset, long length) {
        // Linux before 7.2 compares the signed sum, so that one which overflows passes.
        boolean outside = profile.guestMemfdBindingOverflows()
                ? offset < 0 || offset + length > size
                : Long.compareUnsigned(offset + length, size) > 0 || offset < 0;
        if (outside) {
            return -Errno.EINVAL;
        }
        long first = offset >>> Linux.PAGE_SHIFT;
        long count = length >>> Linux.PAGE_SHIFT;
        lock.lock();
        try {
            if (released) {
                return -Errno.EBADF;
            }
            int at = firstBehind(first);
            if (at < bindings.length && bindings[at].first < first + count) {
                return profile.guestMemfdConflictInvalid() ? -Errno.EINVAL : -Errno.EEXIST;
            }
            Binding[] more = Arrays.copyOf(bindings, bindings.length + 1);
            System.arraycopy(bindings, at, more, at + 1, bindings.length - at);
            more[at] = new Binding(first, count, slot);
            bindings = more;
            return 0;
        } finally {
            lock.unlock();
        }
    }

    /** Undoes a binding, unless the file has been released meanwhile. */
    public void unbind(GmemSlot slot) {
        lock.lock();
        try {
            bindings = Arrays.stream(bindings)
                    .filter(binding -> binding.slot != slot)
                    .toArray(Binding[]::new);
        } finally {
            lock.unlock();
        }
    }

    /** fallocate(2): KEEP_SIZE allocates, KEEP_SIZE with PUNCH_HOLE frees. The VFS has made its own checks. */
    @Override
    public int fallocate(Task task, int mode, long offset, long length) {
        if ((mode & Linux.FALLOC_FL_KEEP_SIZE) == 0
                || (mode & ~(Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE)) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (((offset | length) & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        if ((mode & Linux.FALLOC_FL_PUNCH_HOLE) != 0) {
            punch(offset >>> Linux.PAGE_SHIFT, length >>> Linux.PAGE_SHIFT);
            return 0;
        }
        return allocate(task, offset, length);
    }

    private int allocate(Task task, long offset, long length) {
        if (offset + length > size) {
            return -Errno.EINVAL;
        }
        sharedLock.lock();
        try {
            long end = (offset + length) >>> Linux.PAGE_SHIFT;
            for (long index = offset >>> Linux.PAGE_SHIFT; index < end; index++) {
                if ((task.signals().pending() & ~task.signals().blocked()) != 0) {
                    return -Errno.EINTR;
                }
                long frame = store.frame(index);
                if (frame < 0) {
                    return (int) frame;
                }
            }
            return 0;
        } finally {
            sharedLock.unlock();
        }
    }

    private void punch(long first, long count) {
        sharedLock.lock();
        try {
            tell(first, first + count, true);
            store.punch(first, count);
            tell(first, first + count, false);
        } finally {
            sharedLock.unlock();
        }
    }

    /** Starts an invalidation of pages [first, end) in all slots that have some of them, or ends it; the lock is held. */
    private void tell(long first, long end, boolean start) {
        Binding[] all = bindings;
        for (int i = firstBehind(first); i < all.length && all[i].first < end; i++) {
            Binding binding = all[i];
            long from = Math.max(first, binding.first);
            long count = Math.min(end, binding.end()) - from;
            if (start) {
                binding.slot.invalidateStart(from - binding.first, count);
            } else {
                binding.slot.invalidateEnd(from - binding.first, count);
            }
        }
    }

    /** The first binding that ends behind a page, the number of bindings where there is none. */
    private int firstBehind(long page) {
        int low = 0;
        int high = bindings.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (bindings[middle].end() <= page) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /** mmap(2): shared only, and only with {@link #FLAG_MMAP}; the length is not compared with the file's. */
    @Override
    public Mapping map(Task task, long offset, long length, int protection, int mapFlags) {
        if (!mappable()) {
            return new Mapping.Refused(Errno.ENODEV);
        }
        if ((mapFlags & Linux.MAP_TYPE) == Linux.MAP_PRIVATE) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        return new Mapping.Pages(store, offset >>> Linux.PAGE_SHIFT);
    }

    @Override
    public boolean anonymous() {
        return true;
    }

    /** {@code st_blocks} stays zero whatever is allocated. */
    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFREG | 0600, size, 0);
    }

    /**
     * The last reference is gone, of descriptors and of mappings: no slot reaches the memory any more, and it is freed.
     */
    @Override
    protected void release() {
        lock.lock();
        try {
            released = true;
            for (Binding binding : bindings) {
                binding.slot.unbound();
                binding.slot.invalidateStart(0, binding.count);
                binding.slot.invalidateEnd(0, binding.count);
            }
            bindings = new Binding[0];
            store.close();
        } finally {
            lock.unlock();
        }
        owner.released(this);
        owner.put();
    }
}
