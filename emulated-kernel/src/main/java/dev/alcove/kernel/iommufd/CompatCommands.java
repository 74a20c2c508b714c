// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.vfio.vfio_info_cap_header;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_map;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info_cap_iova_range;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info_dma_avail;
import dev.alcove.bindings.vfio.vfio_iova_range;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** The VFIO type1 ioctls on /dev/iommu: they work on the address space that IOMMU_VFIO_IOAS named. */
final class CompatCommands {
    private static final int GET_API_VERSION = 0x3b64;
    private static final int CHECK_EXTENSION = 0x3b65;
    private static final int SET_IOMMU = 0x3b66;
    private static final int GET_INFO = 0x3b70;
    private static final int MAP_DMA = 0x3b71;
    private static final int UNMAP_DMA = 0x3b72;

    private static final int TYPE1 = 1;
    private static final int TYPE1_V2 = 3;
    private static final int DMA_CC = 4;
    /** Told as in a kernel that was built with it; no device here lacks an IOMMU. */
    private static final int NOIOMMU = 8;

    private static final int UNMAP_ALL = 9;

    private static final int MAP_FLAGS = 3;
    private static final int MAP_LEAST = 32;
    private static final int UNMAP_FLAG_ALL = 2;
    private static final int UNMAP_LEAST = 24;
    private static final int INFO_LEAST = 16;
    private static final int INFO_FLAG_PGSIZES = 1;
    private static final int INFO_FLAG_CAPS = 2;
    private static final int CAP_IOVA_RANGE = 1;
    private static final int CAP_DMA_AVAIL = 3;

    private final IommufdContext context;
    private final Task task;

    CompatCommands(IommufdContext context, Task task) {
        this.context = context;
        this.task = task;
    }

    /** Dispatches as {@code iommufd_vfio_ioctl}. */
    long execute(int request, long argument) {
        return switch (request) {
            case GET_API_VERSION -> 0;
            case CHECK_EXTENSION -> checkExtension(argument);
            case SET_IOMMU ->
                argument != TYPE1 && argument != TYPE1_V2
                        ? -Errno.EINVAL
                        : onCompat(ioas -> argument == TYPE1 ? ioas.table.disableLargePages() : 0);
            case GET_INFO -> getInfo(argument);
            case MAP_DMA -> mapDma(argument);
            case UNMAP_DMA -> unmapDma(argument);
            default -> -Errno.ENOTTY;
        };
    }

    private long checkExtension(long extension) {
        if (extension == TYPE1 || extension == TYPE1_V2 || extension == UNMAP_ALL || extension == NOIOMMU) {
            return 1;
        }
        // Every domain of this machine snoops.
        return extension == DMA_CC ? onCompat(ioas -> 1) : 0;
    }

    private long mapDma(long address) {
        MemorySegment map = Command.zeroes(MAP_LEAST);
        int error = task.memory().copyIn(address, map);
        if (error != 0) {
            return error;
        }
        int flags = vfio_iommu_type1_dma_map.flags(map);
        if (Integer.compareUnsigned(vfio_iommu_type1_dma_map.argsz(map), MAP_LEAST) < 0
                || (flags & ~MAP_FLAGS) != 0) {
            return -Errno.EINVAL;
        }
        // The bits for reading and writing are the same here and in a page table entry.
        return onCompat(ioas -> IoasCommands.mapUser(
                context,
                task,
                ioas,
                new long[] {vfio_iommu_type1_dma_map.iova(map)},
                false,
                vfio_iommu_type1_dma_map.vaddr(map),
                vfio_iommu_type1_dma_map.size(map),
                flags));
    }

    private long unmapDma(long address) {
        MemorySegment unmap = Command.zeroes(UNMAP_LEAST);
        int error = task.memory().copyIn(address, unmap);
        if (error != 0) {
            return error;
        }
        int flags = vfio_iommu_type1_dma_unmap.flags(unmap);
        if (Integer.compareUnsigned(vfio_iommu_type1_dma_unmap.argsz(unmap), UNMAP_LEAST) < 0
                || (flags & ~UNMAP_FLAG_ALL) != 0) {
            return -Errno.EINVAL;
        }
        return onCompat(ioas -> {
            long iova = vfio_iommu_type1_dma_unmap.iova(unmap);
            long size = vfio_iommu_type1_dma_unmap.size(unmap);
            long[] unmapped = new long[1];
            long result;
            if ((flags & UNMAP_FLAG_ALL) != 0) {
                if (iova != 0 || size != 0) {
                    return -Errno.EINVAL;
                }
                result = ioas.table.unmap(0, -1, unmapped);
            } else {
                result = ioas.table.largePages()
                        ? IoasCommands.unmapRange(ioas, iova, size, unmapped)
                        : ioas.table.cutAndUnmap(iova, size, unmapped);
                if (unmapped[0] == IoPageTable.NOT_BEGUN) {
                    return result;
                }
            }
            vfio_iommu_type1_dma_unmap.size(unmap, unmapped[0]);
            return task.memory().copyOut(address, unmap) != 0 ? -Errno.EFAULT : result;
        });
    }

    private long getInfo(long address) {
        MemorySegment info = Command.zeroes(vfio_iommu_type1_info.sizeof());
        int error = task.memory().copyIn(address, info.asSlice(0, INFO_LEAST));
        if (error != 0) {
            return error;
        }
        long room = Integer.toUnsignedLong(vfio_iommu_type1_info.argsz(info));
        if (room < INFO_LEAST) {
            return -Errno.EINVAL;
        }
        return onCompat(ioas -> {
            long available = info.byteSize();
            long ranges = available + (vfio_iommu_type1_info_dma_avail.sizeof() + 7 & -8);
            long[] total = new long[1];
            long copied = writeAvailable(address + available, room - available, room >= ranges ? ranges : 0);
            if (copied == 0) {
                copied = writeRanges(ioas, address + ranges, room - ranges, total);
            }
            if (copied != 0) {
                return copied;
            }
            long end = ranges + total[0];
            vfio_iommu_type1_info.argsz(info, (int) end);
            vfio_iommu_type1_info.flags(info, INFO_FLAG_PGSIZES | INFO_FLAG_CAPS);
            vfio_iommu_type1_info.iova_pgsizes(info, ioas.table.pageSizes());
            vfio_iommu_type1_info.cap_offset(info, room >= end ? (int) available : 0);
            return task.memory().copyOut(address, info.asSlice(0, Math.min(room, info.byteSize())));
        });
    }

    /** @param next offset of the next capability, 0 for none */
    private int writeAvailable(long address, long room, long next) {
        MemorySegment capability = Command.zeroes(vfio_iommu_type1_info_dma_avail.sizeof());
        vfio_info_cap_header.id(capability, (short) CAP_DMA_AVAIL);
        vfio_info_cap_header.version(capability, (short) 1);
        vfio_info_cap_header.next(capability, (int) next);
        vfio_iommu_type1_info_dma_avail.avail(capability, -1);
        return room < capability.byteSize() ? 0 : task.memory().copyOut(address, capability);
    }

    /**
     * Writes each range that there is room for, and the capability's header if there is room for all.
     *
     * @param total receives the bytes that all would take
     */
    private int writeRanges(Ioas ioas, long address, long room, long[] total) {
        MemorySegment head = Command.zeroes(vfio_iommu_type1_info_cap_iova_range.sizeof());
        MemorySegment range = Command.zeroes(vfio_iova_range.sizeof());
        int[] error = new int[1];
        total[0] = head.byteSize();
        ioas.table.ranges().usableRanges((first, last) -> {
            vfio_iova_range.start(range, first);
            vfio_iova_range.end(range, last);
            if (room >= total[0] + range.byteSize()) {
                error[0] = task.memory().copyOut(address + total[0], range);
            }
            total[0] += range.byteSize();
            return error[0] == 0;
        });
        vfio_info_cap_header.id(head, (short) CAP_IOVA_RANGE);
        vfio_info_cap_header.version(head, (short) 1);
        long count = (total[0] - head.byteSize()) / range.byteSize();
        vfio_iommu_type1_info_cap_iova_range.nr_iovas(head, (int) count);
        return error[0] != 0 || room < total[0] ? error[0] : task.memory().copyOut(address, head);
    }

    private long onCompat(IoasCommands.IoasWork work) {
        Ioas ioas = context.compatIoas();
        if (ioas == null || !context.objects().get(ioas)) {
            return -Errno.ENODEV;
        }
        try {
            return work.on(ioas);
        } finally {
            context.objects().put(ioas);
        }
    }
}
