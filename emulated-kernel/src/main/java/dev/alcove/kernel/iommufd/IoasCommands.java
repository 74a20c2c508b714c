// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_allow_iovas;
import dev.alcove.bindings.iommufd.iommu_ioas_copy;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommu_iova_range;
import dev.alcove.kernel.dmabuf.DmaBufFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IoPageTable.Slice;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The ioctls on I/O address spaces. */
final class IoasCommands {
    private static final int FIXED_IOVA = 1;
    private static final int WRITEABLE = 2;
    private static final int READABLE = 4;
    private static final int MAP_FLAGS = FIXED_IOVA | WRITEABLE | READABLE;
    private static final long ULONG_MAX = -1;
    private static final int RANGE_SIZE = 16;

    private IoasCommands() {}

    static long alloc(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_ioas_alloc.flags(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        int id = context.objects().reserve();
        if (id < 0) {
            return id;
        }
        iommu_ioas_alloc.out_ioas_id(struct, id);
        long error = command.respond();
        if (error != 0) {
            context.objects().cancel(id);
            return error;
        }
        context.objects().add(new Ioas(id, context, context.module().allocator()));
        return 0;
    }

    static long allowIovas(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_ioas_allow_iovas.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onIoas(context, iommu_ioas_allow_iovas.ioas_id(struct), ioas -> {
            IntervalTree<Object> ranges = new IntervalTree<>();
            long count = Integer.toUnsignedLong(iommu_ioas_allow_iovas.num_iovas(struct));
            MemorySegment range = Command.zeroes(RANGE_SIZE);
            long address = iommu_ioas_allow_iovas.allowed_iovas(struct);
            for (long i = 0; i < count; i++) {
                int error = command.task().memory().copyIn(address + i * RANGE_SIZE, range);
                if (error != 0) {
                    return error;
                }
                long first = iommu_iova_range.start(range);
                long last = iommu_iova_range.last(range);
                if (Long.compareUnsigned(first, last) >= 0 || ranges.overlaps(first, last)) {
                    return -Errno.EINVAL;
                }
                if (!context.module().allocator().charge("iommufd allowed range")) {
                    return -Errno.ENOMEM;
                }
                ranges.insert(first, last, ioas);
            }
            return ioas.table.ranges().allow(ranges);
        });
    }

    static long iovaRanges(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_ioas_iova_ranges.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onIoas(context, iommu_ioas_iova_ranges.ioas_id(struct), ioas -> {
            List<MemorySegment> ranges = new ArrayList<>();
            ioas.table.ranges().usableRanges((first, last) -> {
                MemorySegment range = Command.zeroes(RANGE_SIZE);
                iommu_iova_range.start(range, first);
                iommu_iova_range.last(range, last);
                return ranges.add(range);
            });
            UserMemory memory = command.task().memory();
            long room = Integer.toUnsignedLong(iommu_ioas_iova_ranges.num_iovas(struct));
            long address = iommu_ioas_iova_ranges.allowed_iovas(struct);
            for (int i = 0; i < ranges.size() && i < room; i++) {
                int error = memory.copyOut(address + (long) i * RANGE_SIZE, ranges.get(i));
                if (error != 0) {
                    return error;
                }
            }
            iommu_ioas_iova_ranges.num_iovas(struct, ranges.size());
            iommu_ioas_iova_ranges.out_iova_alignment(struct, ioas.table.alignment());
            long error = command.respond();
            return error == 0 && ranges.size() > room ? -Errno.EMSGSIZE : error;
        });
    }

    static long map(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_ioas_map.flags(struct);
        long length = iommu_ioas_map.length(struct);
        if ((flags & ~MAP_FLAGS) != 0 || iommu_ioas_map.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (iommu_ioas_map.iova(struct) == ULONG_MAX || length == ULONG_MAX) {
            return -Errno.EOVERFLOW;
        }
        if ((flags & (WRITEABLE | READABLE)) == 0) {
            return -Errno.EINVAL;
        }
        return onIoas(context, iommu_ioas_map.ioas_id(struct), ioas -> {
            long[] iova = {iommu_ioas_map.iova(struct)};
            long error = mapUser(
                    context,
                    command.task(),
                    ioas,
                    iova,
                    (flags & FIXED_IOVA) == 0,
                    iommu_ioas_map.user_va(struct),
                    length,
                    rights(flags));
            if (error != 0) {
                return error;
            }
            iommu_ioas_map.iova(struct, iova[0]);
            return command.respond();
        });
    }

    /** Maps memory of the caller; also the work of VFIO_IOMMU_MAP_DMA. */
    static long mapUser(
            IommufdContext context,
            Task task,
            Ioas ioas,
            long[] iova,
            boolean choose,
            long address,
            long length,
            int rights) {
        if (!context.module().profile().atLeast(6, 13) && Long.compareUnsigned(length, -Linux.PAGE_SIZE - 1L) > 0) {
            return -Errno.EINVAL;
        }
        if (Long.compareUnsigned(address + length, address) < 0) {
            return -Errno.EOVERFLOW;
        }
        if (length == 0 || Long.compareUnsigned(length, ULONG_MAX - Linux.PAGE_SIZE) > 0) {
            return -Errno.EINVAL;
        }
        if (!context.module().allocator().charge("iommufd pages")) {
            return -Errno.ENOMEM;
        }
        PageSource source = new PageSource.User(task.mm(), address & -Linux.PAGE_SIZE, address);
        IopPages pages = newPages(context, task, source, rights);
        Slice slice = new Slice(pages, address & Linux.PAGE_SIZE - 1, length);
        return ioas.table.map(List.of(slice), iova, choose, rights);
    }

    private static IopPages newPages(IommufdContext context, Task task, PageSource source, int rights) {
        return new IopPages(
                context.module(),
                source,
                (rights & IommuDomain.WRITE) != 0,
                MemlockAccount.of(task, context.accountPerProcess()));
    }

    static long mapFile(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_ioas_map_file.flags(struct);
        long length = iommu_ioas_map_file.length(struct);
        long start = iommu_ioas_map_file.start(struct);
        if ((flags & ~MAP_FLAGS) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (iommu_ioas_map_file.iova(struct) == ULONG_MAX || length == ULONG_MAX) {
            return -Errno.EOVERFLOW;
        }
        if ((flags & (WRITEABLE | READABLE)) == 0) {
            return -Errno.EINVAL;
        }
        return onIoas(context, iommu_ioas_map_file.ioas_id(struct), ioas -> {
            if (length == 0) {
                return -Errno.EINVAL;
            }
            if (Long.compareUnsigned(start + length - 1, start) < 0) {
                return -Errno.EOVERFLOW;
            }
            OpenFile file = command.task().file(iommu_ioas_map_file.fd(struct));
            if (file == null) {
                return -Errno.EBADF;
            }
            if (!context.module().allocator().charge("iommufd pages")) {
                return -Errno.ENOMEM;
            }
            boolean asBuffer = context.module().profile().vfioDmaBuf() && file instanceof DmaBufFile;
            if (!asBuffer && Long.compareUnsigned(length, ULONG_MAX - Linux.PAGE_SIZE) > 0) {
                return -Errno.EINVAL;
            }
            long[] error = new long[1];
            IopPages pages = asBuffer
                    ? dmaBufPages(context, command.task(), (DmaBufFile) file, start, length, rights(flags), error)
                    : filePages(context, command.task(), file, start, rights(flags));
            if (pages == null) {
                return error[0];
            }
            long[] iova = {iommu_ioas_map_file.iova(struct)};
            error[0] = ioas.table.map(
                    List.of(new Slice(pages, start & Linux.PAGE_SIZE - 1, length)),
                    iova,
                    (flags & FIXED_IOVA) == 0,
                    rights(flags));
            if (error[0] != 0) {
                return error[0];
            }
            iommu_ioas_map_file.iova(struct, iova[0]);
            return command.respond();
        });
    }

    private static IopPages filePages(IommufdContext context, Task task, OpenFile file, long start, int rights) {
        file.get();
        PageSource source = new PageSource.File(file, context.module().memory(), start >>> Linux.PAGE_SHIFT, start);
        return newPages(context, task, source, rights);
    }

    /** @param error element 0 receives {@code -EINVAL -EOPNOTSUPP -ENODEV} when the answer is null */
    private static @Nullable IopPages dmaBufPages(
            IommufdContext context, Task task, DmaBufFile buffer, long start, long length, int rights, long[] error) {
        if (Long.compareUnsigned(start + length - 1, buffer.size()) >= 0) {
            error[0] = -Errno.EINVAL;
            return null;
        }
        IopPages[] pages = new IopPages[1];
        DmaBufSource source = new DmaBufSource(buffer, start, () -> pages[0].revoke());
        pages[0] = newPages(context, task, source, rights);
        error[0] = source.attach();
        if (error[0] != 0) {
            return null;
        }
        buffer.get();
        return pages[0];
    }

    static long copy(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        int flags = iommu_ioas_copy.flags(struct);
        long length = iommu_ioas_copy.length(struct);
        long from = iommu_ioas_copy.src_iova(struct);
        long to = iommu_ioas_copy.dst_iova(struct);
        if ((flags & ~MAP_FLAGS) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (length == ULONG_MAX || from == ULONG_MAX || to == ULONG_MAX) {
            return -Errno.EOVERFLOW;
        }
        if ((flags & (WRITEABLE | READABLE)) == 0) {
            return -Errno.EINVAL;
        }
        List<Slice> slices = new ArrayList<>();
        long error = onIoas(
                context, iommu_ioas_copy.src_ioas_id(struct), source -> source.table.mapped().slices(from, length, slices));
        if (error != 0) {
            return error;
        }
        Ioas target = context.objects().get(iommu_ioas_copy.dst_ioas_id(struct), Ioas.class);
        if (target == null) {
            slices.forEach(slice -> slice.pages().put());
            return -Errno.ENOENT;
        }
        try {
            long[] iova = {to};
            error = target.table.map(slices, iova, (flags & FIXED_IOVA) == 0, rights(flags));
            if (error != 0) {
                return error;
            }
            iommu_ioas_copy.dst_iova(struct, iova[0]);
            return command.respond();
        } finally {
            context.objects().put(target);
        }
    }

    static long unmap(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        return onIoas(context, iommu_ioas_unmap.ioas_id(struct), ioas -> {
            long iova = iommu_ioas_unmap.iova(struct);
            long length = iommu_ioas_unmap.length(struct);
            long[] unmapped = new long[1];
            int error;
            if (iova == 0 && length == ULONG_MAX) {
                error = ioas.table.unmap(0, ULONG_MAX, unmapped);
            } else if (iova == ULONG_MAX || length == ULONG_MAX) {
                return -Errno.EOVERFLOW;
            } else {
                error = unmapRange(ioas, iova, length, unmapped);
                if (error == 0 && unmapped[0] == 0) {
                    error = -Errno.ENOENT;
                }
            }
            if (error != 0) {
                return error;
            }
            iommu_ioas_unmap.length(struct, unmapped[0]);
            return command.respond();
        });
    }

    /** Unmaps the areas in a range: 0, also when there is none; {@code -EINVAL}, {@code -EOVERFLOW}, or what stops it. */
    static int unmapRange(Ioas ioas, long iova, long length, long[] unmapped) {
        if (length == 0) {
            return -Errno.EINVAL;
        }
        long last = iova + length - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        return ioas.table.unmap(iova, last, unmapped);
    }

    private static int rights(int flags) {
        return ((flags & READABLE) != 0 ? IommuDomain.READ : 0) | ((flags & WRITEABLE) != 0 ? IommuDomain.WRITE : 0);
    }

    /** Work on an address space. */
    interface IoasWork {
        long on(Ioas ioas);
    }

    /** Does something as a user of an address space; {@code -ENOENT} when the id is none. */
    static long onIoas(IommufdContext context, int id, IoasWork work) {
        Ioas ioas = context.objects().get(id, Ioas.class);
        if (ioas == null) {
            return -Errno.ENOENT;
        }
        try {
            return work.on(ioas);
        } finally {
            context.objects().put(ioas);
        }
    }
}
