// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.atomic.LongAdder;

/**
 * The machine's physical memory: one sparse memfd, frame n is its page n, and the kernel's own view of it (physmap)
 * is one mapping of all of it. A frame costs host memory only once it is touched.
 *
 * <p>Frames are handed out in extents, so that what is contiguous in a file is contiguous here and costs one host
 * mapping. Every frame has a reference count (owner, mappings) and a pin count (long-term DMA pins); a frame whose
 * last reference and pin are gone is punched out and may be given to another owner. Frame 0 is never handed out.
 *
 * <p>Frames can also be made the pages of another file of the host's, such as one that a process elsewhere has mapped:
 * the physmap then shows that file there.
 *
 * <p>Thread safe; counts are atomic, the extent allocator has a lock of its own (a leaf).
 */
public final class PhysicalMemory implements AutoCloseable {
    /** Extents of at least this many frames start at a multiple of it: 2 MiB. */
    private static final long HUGE = 512;

    private final Syscalls host;
    private final Allocator allocator;
    private final long frames;
    private final int memfd;
    private final int empty;
    private final long physmap;
    private final MemorySegment view;
    private final FrameCounts counts;
    private final LongAdder pins = new LongAdder();
    /** Guarded by itself. */
    private final Extents extents;

    private final TouchedPages touched;
    private final FileWindows windows = new FileWindows();
    private final HugePools hugePools = new HugePools();

    /**
     * @param host where the memory comes from
     * @param frames size in frames of 4 KiB
     */
    public PhysicalMemory(Syscalls host, long frames) {
        this(host, frames, what -> true);
    }

    /**
     * @param host where the memory comes from
     * @param frames size in frames of 4 KiB
     * @param allocator decides whether an allocation may go on
     */
    public PhysicalMemory(Syscalls host, long frames, Allocator allocator) {
        this.host = host;
        this.allocator = allocator;
        this.frames = frames;
        long bytes = frames << Linux.PAGE_SHIFT;
        memfd = (int) succeed("memfd_create", "physical memory", host.memfdCreate("alcove-memory", Linux.MFD_CLOEXEC));
        empty = (int) succeed("memfd_create", "the file of SIGBUS pages", host.memfdCreate("alcove-empty", Linux.MFD_CLOEXEC));
        succeed("ftruncate", bytes + " bytes of physical memory", host.ftruncate(memfd, bytes));
        physmap = succeed("mmap", bytes + " bytes of physical memory", host.mmap(
                0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_NORESERVE, memfd, 0));
        view = UserMappings.segment(physmap, bytes);
        counts = new FrameCounts(frames);
        touched = new TouchedPages(host, memfd);
        extents = new Extents(1, frames - 1);
    }

    private static long succeed(String operation, String what, long answer) {
        if (Linux.isError(answer)) {
            throw new SyscallException(operation, what, answer);
        }
        return answer;
    }

    /** The address of a frame in the physmap: absolute, 4 KiB aligned. */
    public long address(long pfn) {
        return physmap + (pfn << Linux.PAGE_SHIFT);
    }

    /** The kernel's view of consecutive frames. */
    public MemorySegment segment(long pfn, long count) {
        return view.asSlice(pfn << Linux.PAGE_SHIFT, count << Linux.PAGE_SHIFT);
    }

    /** The kernel's view of all memory; the byte offset of a frame is its number times 4096. */
    public MemorySegment view() {
        return view;
    }

    /** The pools of huge pages. */
    public HugePools hugePools() {
        return hugePools;
    }

    /** Size in frames. */
    public long frames() {
        return frames;
    }

    /** Allocates {@code count} contiguous frames, each with one reference; -1 when there are none ({@code ENOMEM}). */
    public long allocate(long count) {
        return count > 0 && allocator.chargePage("frames") ? take(count) : -1;
    }

    /** Whether {@link #mayAllocatePage} may say no just now. */
    boolean mayRefusePage() {
        return allocator.mayRefuse();
    }

    /** Whether a page that a user's memory is to have may be had. */
    public boolean mayAllocatePage(String what) {
        return allocator.chargeUserPages(what);
    }

    boolean mayAllocate(String what) {
        return allocator.charge(what);
    }

    /** As {@link #allocate}, already charged. */
    long take(long count) {
        return take(count, 1);
    }

    /** As {@link #take(long)}, with the first frame a multiple of a power of two. */
    long take(long count, long alignment) {
        synchronized (extents) {
            return extents.take(count, Math.max(alignment, count >= HUGE ? HUGE : 1));
        }
    }

    /** Takes a reference. */
    public void get(long pfn) {
        counts.add(pfn, FrameCounts.REFERENCE);
    }

    /** Drops a reference; the last one (of references and pins) frees the frame. */
    public void put(long pfn) {
        if (counts.add(pfn, -FrameCounts.REFERENCE) == 0) {
            free(pfn, 1);
        }
    }

    /** Drops one reference of each of consecutive frames. */
    public void put(long pfn, long count) {
        long end = pfn + count;
        long at = pfn;
        while (at < end) {
            long held = counts.firstHeld(at, end);
            if (held > at) {
                free(at, held - at);
            }
            if (held < end) {
                put(held);
            }
            at = held + 1;
        }
    }

    /** Pins a frame for DMA (FOLL_PIN); counts on top of references. */
    public void pin(long pfn) {
        counts.add(pfn, FrameCounts.PIN);
        pins.increment();
    }

    /** As {@link #pin(long)} of each of {@code count} frames from element {@code at} on. */
    void pin(long[] pfns, int at, int count) {
        for (int i = at; i < at + count; i++) {
            counts.add(pfns[i], FrameCounts.PIN);
        }
        pins.add(count);
    }

    /** Undoes one {@link #pin}; the last one (of references and pins) frees the frame. */
    public void unpin(long pfn) {
        unpin(pfn, 1);
    }

    /** As {@link #unpin(long)} of each of {@code count} frames from {@code pfn} on. */
    public void unpin(long pfn, long count) {
        pins.add(-count);
        for (long at = pfn; at < pfn + count; at++) {
            if (counts.add(at, -FrameCounts.PIN) == 0) {
                free(at, 1);
            }
        }
    }

    /** Pins of a frame. */
    public int pins(long pfn) {
        return FrameCounts.pins(counts.get(pfn));
    }

    /** References of a frame, pins not counted; 0 when it is free. */
    public int references(long pfn) {
        synchronized (extents) {
            return extents.taken(pfn) ? FrameCounts.references(counts.get(pfn)) : 0;
        }
    }

    /** All pins of all frames: zero when nothing leaks. */
    public long totalPins() {
        return pins.sum();
    }

    /** Frames that somebody owns, touched or not. */
    public long framesInUse() {
        synchronized (extents) {
            return extents.used();
        }
    }

    /** The first frame in [pfn, end) that is pinned or has more references than its owner's, or {@code end}. */
    long firstHeld(long pfn, long end) {
        return counts.firstHeld(pfn, end);
    }

    /** Makes owned frames read as zero and gives the host's memory behind them back. */
    void discard(long pfn, long count) {
        if (windows.none()) {
            // To look whether there is anything costs a fraction of a punch, and often there is nothing.
            if (touched.any(pfn, count)) {
                punch(memfd, pfn << Linux.PAGE_SHIFT, count);
            }
            return;
        }
        for (FileWindows.Window piece : windows.pieces(pfn, pfn + count, memfd)) {
            punch(piece.fd(), piece.offset(), piece.count());
        }
    }

    /** Frees pages of a file, from a byte offset on. */
    void punch(int fd, long offset, long count) {
        succeed("fallocate", count + " pages at " + offset, host.fallocate(
                fd, Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE, offset, count << Linux.PAGE_SHIFT));
    }

    /**
     * Makes owned frames the pages of a file that can be mapped shared and writable; what they held is gone.
     *
     * @param offset of the first page in the file, in bytes
     * @return 0 or a negated errno
     */
    int show(long pfn, long count, int fd, long offset) {
        int error = map(address(pfn), count, Linux.PROT_READ | Linux.PROT_WRITE, fd, offset);
        if (error == 0) {
            windows.add(new FileWindows.Window(pfn, count, fd, offset));
        }
        return error;
    }

    /** Makes frames the machine's own memory again; they read as zero. */
    private void restore(long pfn, long count) {
        for (FileWindows.Window window : windows.remove(pfn, pfn + count)) {
            long offset = window.pfn() << Linux.PAGE_SHIFT;
            int error = map(
                    address(window.pfn()), window.count(), Linux.PROT_READ | Linux.PROT_WRITE, memfd, offset);
            succeed("mmap", window.count() + " frames from frame " + window.pfn(), error);
        }
    }

    /** Takes a frame out of the file it is a page of, with its contents: the file's page is fresh then. */
    void depart(long pfn) {
        for (FileWindows.Window window : windows.pieces(pfn, pfn + 1, memfd)) {
            if (window.fd() != memfd) {
                byte[] contents = segment(pfn, 1).toArray(ValueLayout.JAVA_BYTE);
                restore(pfn, 1);
                MemorySegment.copy(contents, 0, segment(pfn, 1), ValueLayout.JAVA_BYTE, 0, contents.length);
                punch(window.fd(), window.offset(), 1);
            }
        }
    }

    private void free(long pfn, long count) {
        if (!windows.none()) {
            restore(pfn, count);
        }
        discard(pfn, count);
        for (long at = counts.firstHeld(pfn, pfn + count); at < pfn + count; at = counts.firstHeld(at, pfn + count)) {
            counts.reset(at);
        }
        synchronized (extents) {
            extents.give(pfn, count);
        }
    }

    /** The first frame in [pfn, end) that has been touched ({@code data}) or has not been, or {@code end}. */
    long seek(long pfn, long end, boolean data) {
        if (windows.none()) {
            return seek(new FileWindows.Window(pfn, end - pfn, memfd, pfn << Linux.PAGE_SHIFT), data);
        }
        for (FileWindows.Window piece : windows.pieces(pfn, end, memfd)) {
            long found = seek(piece, data);
            if (found < piece.end()) {
                return found;
            }
        }
        return end;
    }

    private long seek(FileWindows.Window piece, boolean data) {
        long answer = host.lseek(piece.fd(), piece.offset(), data ? Linux.SEEK_DATA : Linux.SEEK_HOLE);
        if (answer == -Errno.ENXIO) {
            return data ? piece.end() : piece.pfn();
        }
        long offset = succeed("lseek", "physical memory", answer) - piece.offset();
        return Math.min(piece.end(), piece.pfn() + (offset >> Linux.PAGE_SHIFT));
    }

    /** Maps consecutive frames at a user address. */
    int mapUser(long address, long pfn, long count, int protection) {
        return map(address, count, protection, memfd, pfn << Linux.PAGE_SHIFT);
    }

    /** Makes pages at a user address raise SIGBUS, which the JVM turns into an InternalError. */
    int mapHole(long address, long offset, long count) {
        return map(address, count, Linux.PROT_READ | Linux.PROT_WRITE, empty, offset);
    }

    private int map(long address, long count, int protection, int fd, long offset) {
        long answer = host.mmap(
                address,
                count << Linux.PAGE_SHIFT,
                protection,
                Linux.MAP_SHARED | Linux.MAP_FIXED | Linux.MAP_NORESERVE,
                fd,
                offset);
        return Linux.isError(answer) ? (int) answer : 0;
    }

    /** A range of user addresses in which nothing is mapped yet: all of it raises SIGBUS. */
    long reserveUser(long bytes) {
        return succeed("mmap", bytes + " bytes of user address space", host.mmap(
                0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_NORESERVE, empty, 0));
    }

    void releaseUser(long address, long bytes) {
        host.munmap(address, bytes);
    }

    @Override
    public void close() {
        host.munmap(physmap, frames << Linux.PAGE_SHIFT);
        touched.close();
        host.close(empty);
        host.close(memfd);
    }
}
