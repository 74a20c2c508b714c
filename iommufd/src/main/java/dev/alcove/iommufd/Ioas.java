// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.bindings.iommufd.iommu_ioas_allow_iovas;
import dev.alcove.bindings.iommufd.iommu_ioas_copy;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommu_iova_range;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.sys.Errno;
import dev.alcove.sys.StructCache;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;


/**
 * An I/O address space: which memory a device may reach, and at which IOVA. Addresses and lengths are unsigned bytes,
 * multiples of the page size. Methods may be called from any thread.
 */
public final class Ioas implements AutoCloseable {
    /** Devices may read the memory. */
    public static final int READ = iommufd.IOMMU_IOAS_MAP_READABLE();

    /** Devices may write the memory. */
    public static final int WRITE = iommufd.IOMMU_IOAS_MAP_WRITEABLE();

    private static final long ALL = -1L;
    private static final int FIRST_RANGES = 16;

    private final IommuFd iommu;
    private final int id;
    private final AtomicBoolean open = new AtomicBoolean(true);
    private final StructCache maps = new StructCache(iommu_ioas_map.layout());
    private final StructCache fileMaps = new StructCache(iommu_ioas_map_file.layout());
    private final StructCache unmaps = new StructCache(iommu_ioas_unmap.layout());

    Ioas(IommuFd iommu, int id) {
        this.iommu = iommu;
        this.id = id;
    }

    /** The object's id in its context. */
    public int id() {
        return id;
    }

    /** The context that owns it. */
    public IommuFd iommu() {
        return iommu;
    }

    /**
     * IOMMU_IOAS_MAP at a fixed IOVA.
     *
     * @param userVa address in this process
     * @param access {@link #READ} and {@link #WRITE}, at least one
     * @throws SyscallException EEXIST something is mapped there; EINVAL unaligned or in a reserved range; EFAULT no
     *     such memory, or not writable; ENOMEM above RLIMIT_MEMLOCK
     */
    public void map(long userVa, long iova, long length, int access) {
        mapWith(userVa, iova, length, access | iommufd.IOMMU_IOAS_MAP_FIXED_IOVA());
    }

    /** IOMMU_IOAS_MAP at an IOVA that the kernel picks; ENOSPC. */
    public long mapAnyIova(long userVa, long length, int access) {
        return mapWith(userVa, 0, length, access);
    }

    private long mapWith(long userVa, long iova, long length, int flags) {
        MemorySegment cmd = maps.take();
        int answer;
        long mapped;
        try {
            iommu_ioas_map.size(cmd, (int) iommu_ioas_map.sizeof());
            iommu_ioas_map.flags(cmd, flags);
            iommu_ioas_map.ioas_id(cmd, id);
            iommu_ioas_map.__reserved(cmd, 0);
            iommu_ioas_map.user_va(cmd, userVa);
            iommu_ioas_map.length(cmd, length);
            iommu_ioas_map.iova(cmd, iova);
            answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_IOAS_MAP(), cmd);
            mapped = iommu_ioas_map.iova(cmd);
        } finally {
            maps.give(cmd);
        }
        if (answer < 0) {
            throw mapFailed(iommu.syscalls(), "IOMMU_IOAS_MAP", iova, length, answer);
        }
        return mapped;
    }

    /**
     * IOMMU_IOAS_MAP_FILE of a memfd or hugetlb file at a fixed IOVA. Since Linux 6.13.
     *
     * @param start where in the file, bytes
     * @throws SyscallException as {@link #map}, and EBADF; EINVAL another kind of file or behind its end; ENOTTY an
     *     older kernel
     */
    public void mapFile(int fd, long start, long iova, long length, int access) {
        int answer = mapFileWith(fd, start, iova, length, access | iommufd.IOMMU_IOAS_MAP_FIXED_IOVA());
        if (answer < 0) {
            throw mapFailed(iommu.syscalls(), "IOMMU_IOAS_MAP_FILE", iova, length, answer);
        }
    }

    private int mapFileWith(int fd, long start, long iova, long length, int flags) {
        MemorySegment cmd = fileMaps.take();
        try {
            iommu_ioas_map_file.size(cmd, (int) iommu_ioas_map_file.sizeof());
            iommu_ioas_map_file.flags(cmd, flags);
            iommu_ioas_map_file.ioas_id(cmd, id);
            iommu_ioas_map_file.fd(cmd, fd);
            iommu_ioas_map_file.start(cmd, start);
            iommu_ioas_map_file.length(cmd, length);
            iommu_ioas_map_file.iova(cmd, iova);
            return iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_IOAS_MAP_FILE(), cmd);
        } finally {
            fileMaps.give(cmd);
        }
    }

    /** Whether the kernel has {@link #mapFile}: it is asked for a mapping of nothing, and knows the command or not. */
    public boolean mapsFiles() {
        return mapFileWith(-1, 0, 0, 0, READ | iommufd.IOMMU_IOAS_MAP_FIXED_IOVA()) != -Errno.ENOTTY;
    }

    /**
     * IOMMU_IOAS_UNMAP: takes out whole areas.
     *
     * @return bytes that were unmapped
     * @throws SyscallException ENOENT nothing is mapped, or the range ends inside an area (areas before it are gone
     *     then); EBUSY
     */
    public long unmap(long iova, long length) {
        MemorySegment cmd = unmaps.take();
        int answer;
        long unmapped;
        try {
            iommu_ioas_unmap.size(cmd, (int) iommu_ioas_unmap.sizeof());
            iommu_ioas_unmap.ioas_id(cmd, id);
            iommu_ioas_unmap.iova(cmd, iova);
            iommu_ioas_unmap.length(cmd, length);
            answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_IOAS_UNMAP(), cmd);
            unmapped = iommu_ioas_unmap.length(cmd);
        } finally {
            unmaps.give(cmd);
        }
        if (answer < 0) {
            throw new SyscallException("IOMMU_IOAS_UNMAP", range(iova, length), answer);
        }
        return unmapped;
    }

    /** IOMMU_IOAS_UNMAP of all there is; the answer is the number of bytes, 0 when it was empty. */
    public long unmapAll() {
        return unmap(0, ALL);
    }

    /** IOMMU_IOAS_IOVA_RANGES: where mappings are possible. Attaching a device can make the list shorter. */
    public List<IovaRange> iovaRanges() {
        Syscalls syscalls = iommu.syscalls();
        int room = FIRST_RANGES;
        while (true) {
            try (Arena arena = Arena.ofConfined();
                    UserArena user = new UserArena(syscalls, room * iommu_iova_range.sizeof())) {
                MemorySegment ranges = user.allocate(room * iommu_iova_range.sizeof(), 8);
                MemorySegment cmd = iommu_ioas_iova_ranges.allocate(arena);
                iommu_ioas_iova_ranges.size(cmd, (int) iommu_ioas_iova_ranges.sizeof());
                iommu_ioas_iova_ranges.ioas_id(cmd, id);
                iommu_ioas_iova_ranges.num_iovas(cmd, room);
                iommu_ioas_iova_ranges.allowed_iovas(cmd, ranges.address());
                int answer = syscalls.ioctl(iommu.fd(), iommufd.IOMMU_IOAS_IOVA_RANGES(), cmd);
                int number = iommu_ioas_iova_ranges.num_iovas(cmd);
                if (answer == -Errno.EMSGSIZE && number > room) {
                    room = number;
                    continue;
                }
                if (answer < 0) {
                    throw new SyscallException("IOMMU_IOAS_IOVA_RANGES", "ioas " + id, answer);
                }
                List<IovaRange> result = new ArrayList<>(number);
                for (int i = 0; i < number; i++) {
                    MemorySegment raw = iommu_iova_range.asSlice(ranges, i);
                    result.add(new IovaRange(iommu_iova_range.start(raw), iommu_iova_range.last(raw)));
                }
                return List.copyOf(result);
            }
        }
    }

    /**
     * IOMMU_IOAS_ALLOW_IOVAS: ranges that must stay possible; a device that reserves part of them cannot be attached.
     * An empty list takes the demand back.
     *
     * @throws SyscallException EADDRINUSE part is reserved already, EINVAL a range is empty or two overlap
     */
    public void allowIovas(List<IovaRange> ranges) {
        Syscalls syscalls = iommu.syscalls();
        try (Arena arena = Arena.ofConfined();
                UserArena user = new UserArena(syscalls, (ranges.size() + 1) * iommu_iova_range.sizeof())) {
            MemorySegment array = user.allocate((ranges.size() + 1) * iommu_iova_range.sizeof(), 8);
            for (int i = 0; i < ranges.size(); i++) {
                MemorySegment raw = iommu_iova_range.asSlice(array, i);
                iommu_iova_range.start(raw, ranges.get(i).start());
                iommu_iova_range.last(raw, ranges.get(i).last());
            }
            MemorySegment cmd = iommu_ioas_allow_iovas.allocate(arena);
            iommu_ioas_allow_iovas.size(cmd, (int) iommu_ioas_allow_iovas.sizeof());
            iommu_ioas_allow_iovas.ioas_id(cmd, id);
            iommu_ioas_allow_iovas.num_iovas(cmd, ranges.size());
            iommu_ioas_allow_iovas.allowed_iovas(cmd, array.address());
            int answer = syscalls.ioctl(iommu.fd(), iommufd.IOMMU_IOAS_ALLOW_IOVAS(), cmd);
            if (answer < 0) {
                throw new SyscallException("IOMMU_IOAS_ALLOW_IOVAS", "ioas " + id + " " + ranges, answer);
            }
        }
    }

    /**
     * IOMMU_IOAS_COPY: maps what another address space of the context has mapped, without pinning it again.
     *
     * @throws SyscallException ENOENT the source is not mapped in one piece; EPERM {@link #WRITE} of pages that the
     *     source has read-only; else as {@link #map}
     */
    public void copyFrom(Ioas source, long sourceIova, long iova, long length, int access) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_ioas_copy.allocate(arena);
            iommu_ioas_copy.size(cmd, (int) iommu_ioas_copy.sizeof());
            iommu_ioas_copy.flags(cmd, access | iommufd.IOMMU_IOAS_MAP_FIXED_IOVA());
            iommu_ioas_copy.dst_ioas_id(cmd, id);
            iommu_ioas_copy.src_ioas_id(cmd, source.id);
            iommu_ioas_copy.length(cmd, length);
            iommu_ioas_copy.dst_iova(cmd, iova);
            iommu_ioas_copy.src_iova(cmd, sourceIova);
            int answer = iommu.syscalls().ioctl(iommu.fd(), iommufd.IOMMU_IOAS_COPY(), cmd);
            if (answer < 0) {
                throw mapFailed(iommu.syscalls(), "IOMMU_IOAS_COPY", iova, length, answer);
            }
        }
    }

    /**
     * IOMMU_OPTION_HUGE_PAGES: whether the kernel may combine pages into large IOPTEs; on at first.
     *
     * @throws SyscallException EINVAL to switch it off with areas and devices in place
     */
    public void hugePages(boolean on) {
        iommu.option(iommufd.IOMMU_OPTION_HUGE_PAGES(), iommufd.IOMMU_OPTION_OP_SET(), id, on ? 1 : 0);
    }

    /** IOMMU_DESTROY; a second call does nothing. EBUSY while a device is attached: it stays open then. */
    @Override
    public void close() {
        if (open.compareAndSet(true, false) && iommu.fd() >= 0) {
            try {
                iommu.destroy(id);
            } catch (SyscallException refused) {
                open.set(true);
                throw refused;
            }
        }
    }

    static String range(long iova, long length) {
        return "iova [0x" + Long.toHexString(iova) + ", 0x" + Long.toHexString(iova + length) + ")";
    }

    /** The exception for a refused mapping; says which RLIMIT_MEMLOCK would do where that was the cause. */
    static SyscallException mapFailed(Syscalls syscalls, String operation, long iova, long length, int answer) {
        return answer == -Errno.ENOMEM
                ? new SyscallException(operation, range(iova, length), answer, LockedMemory.hint(syscalls, length))
                : new SyscallException(operation, range(iova, length), answer);
    }
}
