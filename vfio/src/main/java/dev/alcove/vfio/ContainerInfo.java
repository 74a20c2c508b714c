// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_info_cap_header;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info_cap_iova_range;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info_cap_migration;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info_dma_avail;
import dev.alcove.bindings.vfio.vfio_iova_range;
import dev.alcove.iommufd.IovaRange;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * What a container says of itself ({@code struct vfio_iommu_type1_info} and its capabilities).
 *
 * @param pageSizes that the IOMMU has, a bit each
 * @param mappingsLeft how many more mappings it takes; {@link DmaSpace#UNLIMITED} where it does not count them
 * @param ranges where mappings are possible; empty where it does not tell
 * @param dirtyPageSizes of bitmaps of dirty pages, a bit each; 0 where it cannot track them
 * @param largestDirtyBitmap bytes of the largest such bitmap
 */
public record ContainerInfo(
        long pageSizes, long mappingsLeft, List<IovaRange> ranges, long dirtyPageSizes, long largestDirtyBitmap) {
    private static final int ROOM = 4096;
    private static final int LARGEST = 1 << 20;
    private static final long NOT_COUNTED = 0xffff_ffffL;

    /** VFIO_IOMMU_GET_INFO. */
    static ContainerInfo ask(VfioContainer container) {
        int size = ROOM;
        while (true) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment info = arena.allocate(size, 8);
                vfio_iommu_type1_info.argsz(info, size);
                int answer = container.syscalls().ioctl(container.fd(), vfio.VFIO_IOMMU_GET_INFO(), info);
                SyscallException.check(answer, "VFIO_IOMMU_GET_INFO", container.toString());
                int needed = vfio_iommu_type1_info.argsz(info);
                if (needed <= size || needed > LARGEST) {
                    return decode(info);
                }
                size = needed;
            }
        }
    }

    /** The kernel's offsets are checked against the buffer: a bad chain ends the walk, it does not run away. */
    private static ContainerInfo decode(MemorySegment info) {
        long left = DmaSpace.UNLIMITED;
        List<IovaRange> ranges = new ArrayList<>();
        long dirty = 0;
        long largest = 0;
        long at = (vfio_iommu_type1_info.flags(info) & vfio.VFIO_IOMMU_INFO_CAPS()) == 0
                ? 0
                : Integer.toUnsignedLong(vfio_iommu_type1_info.cap_offset(info));
        while (at > 0 && at + vfio_iommu_type1_info_cap_migration.sizeof() <= info.byteSize()) {
            MemorySegment header = info.asSlice(at);
            int id = Short.toUnsignedInt(vfio_info_cap_header.id(header));
            if (id == vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL()) {
                long avail = Integer.toUnsignedLong(vfio_iommu_type1_info_dma_avail.avail(header));
                left = avail == NOT_COUNTED ? DmaSpace.UNLIMITED : avail;
            } else if (id == vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE()) {
                readRanges(header, ranges);
            } else if (id == vfio.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION()) {
                dirty = vfio_iommu_type1_info_cap_migration.pgsize_bitmap(header);
                largest = vfio_iommu_type1_info_cap_migration.max_dirty_bitmap_size(header);
            }
            long next = Integer.toUnsignedLong(vfio_info_cap_header.next(header));
            at = next > at ? next : 0;
        }
        return new ContainerInfo(vfio_iommu_type1_info.iova_pgsizes(info), left, List.copyOf(ranges), dirty, largest);
    }

    private static void readRanges(MemorySegment capability, List<IovaRange> ranges) {
        long first = vfio_iommu_type1_info_cap_iova_range.sizeof();
        long room = (capability.byteSize() - first) / vfio_iova_range.sizeof();
        long count = Math.clamp(vfio_iommu_type1_info_cap_iova_range.nr_iovas(capability), 0, Math.max(0, room));
        for (long i = 0; i < count; i++) {
            MemorySegment range = capability.asSlice(first + i * vfio_iova_range.sizeof());
            ranges.add(new IovaRange(vfio_iova_range.start(range), vfio_iova_range.end(range)));
        }
    }
}
