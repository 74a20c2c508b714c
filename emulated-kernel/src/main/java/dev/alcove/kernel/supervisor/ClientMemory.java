// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.mm.DevicePage;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.MmuNotifier;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * The address space of a program. Copies go through the host's kernel. What is to be shared with devices and virtual
 * processors must be a shared mapping: its file's pages then are frames of the emulated machine, the very same memory.
 * Private memory is not, nor is shared anonymous memory without privilege; {@link #takeUnshared} tells what was asked for in vain, for {@link Sharing}.
 *
 * <p>Thread safe; the files in use are guarded by the monitor.
 */
final class ClientMemory extends Mm {
    /**
     * A range of memory that the emulated kernel wanted to share: private, or shared, anonymous and out of reach. Private
     * memory of a file becomes the program's own by that, as it does when Linux pins it for good.
     *
     * @param protection of the mapping
     * @param file whether pages that the program has not touched have contents
     */
    record Unshared(long start, long end, int protection, boolean file) {}

    /** A range that the program has given to a guest or a device. */
    private record Given(long start, long end) {}

    private static final int MOST_GIVEN = 1024;

    private final Host host;
    private final PhysicalMemory memory;
    private final Placeholders placeholders;
    private final ClientFiles files;
    private final int pid;
    /** Of the address space, which stays the same one when the program executes another. */
    private final int maps;
    private final CopyOnWriteArrayList<MmuNotifier> notifiers = new CopyOnWriteArrayList<>();
    /** By inode number as the mapping shows it. */
    private final Map<Long, ClientFiles.Shared> used = new HashMap<>();
    /** The last that were given, each once. */
    private final Set<Given> given = new LinkedHashSet<>();
    @SuppressWarnings("ThreadLocalUsage") // of one call in one address space
    private final ThreadLocal<@Nullable Unshared> unshared = new ThreadLocal<>();
    /** The process's in procfs; it is closed after {@link #exit}. */
    private final int directory;

    /** Inode numbers of the files that were made for memory that was private. */
    private final Set<Long> madeShared = new HashSet<>();
    private volatile boolean interesting;
    private volatile boolean gone;

    /** @param directory the process's in procfs */
    ClientMemory(
            Host host, PhysicalMemory memory, Placeholders placeholders, ClientFiles files, int pid, int directory) {
        this.host = host;
        this.placeholders = placeholders;
        this.memory = memory;
        this.files = files;
        this.pid = pid;
        this.directory = directory;
        maps = host.openAt(directory, "maps", Linux.O_RDONLY);
    }

    @Override
    public long faultIn(long address, boolean write) {
        Area area = area(address, write);
        PageStore store = area == null ? null : store(area, address, address + 1);
        return area == null || store == null ? -Errno.EFAULT : store.frame(area.page(address));
    }

    private @Nullable Area area(long address, boolean write) {
        Area area = gone ? null : Area.at(host, maps, address);
        return area != null && area.allows(write) ? area : null;
    }

    /** The pages of an area, or null when it cannot be shared. */
    private synchronized @Nullable PageStore store(Area area, long from, long to) {
        if (gone) {
            return null;
        }
        interesting = true;
        PageStore own = area.shared() ? placeholders.store(new Host.Identity(area.device(), area.inode())) : null;
        if (own != null) {
            return own;
        }
        ClientFiles.Shared shared = area.shared() ? used.get(area.inode()) : null;
        if (shared != null) {
            return shared.store();
        }
        // Another process may have brought it here.
        shared = area.shared() ? files.use(new Host.Identity(area.device(), area.inode())) : null;
        if (shared != null) {
            used.put(area.inode(), shared);
            return shared.store();
        }
        int fd = area.shared() ? open(area) : -1;
        if (fd >= 0) {
            shared = use(fd);
            return shared == null ? null : shared.store();
        }
        boolean convertible = !area.shared() || area.device() == host.anonymousDevice();
        if (convertible && unshared.get() == null) {
            unshared.set(wanted(area, from, to));
        }
        return null;
    }

    /** Begins the use of a file, whose descriptor is taken over. */
    private ClientFiles.@Nullable Shared use(int fd) {
        Host.Identity identity = host.identify(fd, "");
        ClientFiles.Shared shared = files.use(fd);
        if (shared != null && identity != null) {
            used.put(identity.inode(), shared);
        }
        return shared;
    }

    /** The program will map this file for memory that was private. The descriptor is taken over. */
    synchronized void expect(int fd) {
        if (gone) {
            host.close(fd);
            return;
        }
        Host.Identity identity = host.identify(fd, "");
        use(fd);
        if (identity != null) {
            madeShared.add(identity.inode());
        }
    }

    /** Whether the emulated kernel has taken any interest in this memory: only then need it know of changes. */
    boolean matters() {
        return interesting;
    }

    boolean hasNotifiers() {
        return !notifiers.isEmpty();
    }

    /**
     * MADV_DONTNEED of what was private memory makes it zeroes; what is pinned of it stays with the pins.
     *
     * @return whether all of the range is such memory
     */
    synchronized boolean discard(long start, long end) {
        return punch(start, end, area -> madeShared.contains(area.inode()));
    }

    /** MADV_REMOVE: the file's pages go, but for what is pinned of them; whether all of the range is of files in use. */
    synchronized boolean remove(long start, long end) {
        return punch(start, end, area -> area.writable() && !madeShared.contains(area.inode()));
    }

    private boolean punch(long start, long end, Predicate<Area> chosen) {
        boolean all = true;
        for (long at = start; at < end; ) {
            Area area = gone ? null : Area.at(host, maps, at);
            if (area == null) {
                return false;
            }
            long stop = Math.min(end, area.end());
            ClientFiles.Shared shared = area.shared() && chosen.test(area) ? used.get(area.inode()) : null;
            if (shared == null) {
                all = false;
            } else {
                shared.store().punch(area.page(at), (stop - at) >> Linux.PAGE_SHIFT);
            }
            at = stop;
        }
        return all;
    }

    /** mremap makes a mapping longer: what was private memory needs a file of that length. */
    synchronized void grow(long start, long length) {
        Area area = gone || madeShared.isEmpty() ? null : Area.at(host, maps, start);
        ClientFiles.Shared shared = area != null && madeShared.contains(area.inode()) ? used.get(area.inode()) : null;
        if (area != null && shared != null) {
            shared.grow((area.page(start) << Linux.PAGE_SHIFT) + length);
        }
    }

    private Unshared wanted(Area area, long from, long to) {
        long start = from & -Linux.PAGE_SIZE;
        long end = (to + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        for (Given range : given) {
            if (range.start < to && range.end > from) {
                start = Math.min(start, range.start);
                end = Math.max(end, range.end);
            }
        }
        int protection = (area.readable() ? Linux.PROT_READ : 0) | (area.writable() ? Linux.PROT_WRITE : 0);
        return new Unshared(Math.max(start, area.start()), Math.min(end, area.end()), protection, !area.shared() && area.inode() != 0);
    }

    /** The program is about to give a range to a guest or a device: if it has to be shared, then all of it. */
    synchronized void gives(long address, long length) {
        long start = address & -Linux.PAGE_SIZE;
        long end = (address + length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        if (start >= 0 && end > start && given.add(new Given(start, end)) && given.size() > MOST_GIVEN) {
            given.remove(given.iterator().next());
        }
    }

    /** The file of an area: by its mapping, which takes a privilege, or by a descriptor that the program has. */
    private int open(Area area) {
        String mapping = "/proc/%d/map_files/%x-%x".formatted(pid, area.start(), area.end());
        int fd = host.openAt(Host.AT_FDCWD, mapping, Linux.O_RDWR);
        for (int number = 0, misses = 0; fd < 0 && misses < 64 && number < 4096; number++) {
            String path = "/proc/" + pid + "/fd/" + number;
            Host.Identity identity = host.identify(Host.AT_FDCWD, path);
            misses = identity == null ? misses + 1 : 0;
            if (identity != null && identity.inode() == area.inode()) {
                fd = host.openAt(Host.AT_FDCWD, path, Linux.O_RDWR);
            }
        }
        return fd;
    }

    /** The memory that this thread's call wanted to share, once; null when there was none. */
    @Nullable Unshared takeUnshared() {
        Unshared taken = unshared.get();
        unshared.remove();
        return taken;
    }

    @Override
    public @Nullable DevicePage deviceAt(long address) {
        return null;
    }

    @Override
    public int pin(long address, int count, boolean write, long[] frames, int at) {
        int done = 0;
        while (done < count) {
            long from = address + ((long) done << Linux.PAGE_SHIFT);
            Area area = area(from, write);
            PageStore store =
                    area == null ? null : store(area, from, address + ((long) count << Linux.PAGE_SHIFT));
            if (area == null || store == null) {
                return done > 0 ? done : -Errno.EFAULT;
            }
            int end = (int) Math.min(count, done + ((area.end() - from) >> Linux.PAGE_SHIFT));
            int pinned = store.pin(area.page(from), end - done, frames, at + done);
            if (pinned < 0) {
                return done > 0 ? done : pinned;
            }
            done += pinned;
        }
        return done;
    }

    @Override
    public void unpin(long pfn, long count) {
        memory.unpin(pfn, count);
    }

    @Override
    public int copyIn(long address, MemorySegment into) {
        return host.copyIn(pid, address, into);
    }

    @Override
    public int copyOut(long address, MemorySegment from) {
        return host.copyOut(pid, address, from);
    }

    @Override
    public void register(MmuNotifier notifier) {
        interesting = true;
        notifiers.add(notifier);
    }

    @Override
    public void unregister(MmuNotifier notifier) {
        notifiers.remove(notifier);
    }

    /** Makes whoever has translations of a range forget them; it has changed. */
    void changed(long start, long end) {
        for (MmuNotifier notifier : notifiers) {
            notifier.invalidateStart(start, end);
            notifier.invalidateEnd(start, end);
        }
    }

    @Override
    public boolean gone() {
        // A process that has ended has no program any more, long before it is swept away.
        return gone || host.identify(directory, "exe") == null;
    }

    /** The process has ended, or executes another program. */
    synchronized void exit() {
        if (!gone) {
            gone = true;
            used.values().forEach(ClientFiles.Shared::release);
            used.clear();
            changed(0, Long.MAX_VALUE);
            host.close(maps);
        }
    }
}
