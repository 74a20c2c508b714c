// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_info_cap_header;
import dev.alcove.bindings.vfio.vfio_region_info;
import dev.alcove.bindings.vfio.vfio_region_info_cap_sparse_mmap;
import dev.alcove.bindings.vfio.vfio_region_sparse_mmap_area;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** VFIO_DEVICE_GET_REGION_INFO and the chain of capabilities behind its answer. */
final class RegionQuery {
    private static final int LARGEST = 1 << 20;

    private RegionQuery() {}

    static VfioRegion ask(VfioDevice device, int index) {
        int size = (int) vfio_region_info.sizeof();
        while (true) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment info = arena.allocate(size, 8);
                vfio_region_info.argsz(info, size);
                vfio_region_info.index(info, index);
                int answer = device.syscalls().ioctl(device.fd(), vfio.VFIO_DEVICE_GET_REGION_INFO(), info);
                SyscallException.check(answer, "VFIO_DEVICE_GET_REGION_INFO", device + " region " + index);
                int needed = vfio_region_info.argsz(info);
                if (needed <= size || needed > LARGEST) {
                    return decode(info, index);
                }
                size = needed;
            }
        }
    }

    /** The kernel's offsets are checked against the buffer: a bad chain ends the walk, it does not run away. */
    private static VfioRegion decode(MemorySegment info, int index) {
        int flags = vfio_region_info.flags(info);
        List<VfioRegion.Area> sparse = new ArrayList<>();
        boolean msixMappable = false;
        long at = (flags & vfio.VFIO_REGION_INFO_FLAG_CAPS()) == 0
                ? 0
                : Integer.toUnsignedLong(vfio_region_info.cap_offset(info));
        while (at >= vfio_region_info.sizeof() && at + vfio_info_cap_header.sizeof() <= info.byteSize()) {
            MemorySegment header = info.asSlice(at);
            int id = Short.toUnsignedInt(vfio_info_cap_header.id(header));
            if (id == vfio.VFIO_REGION_INFO_CAP_SPARSE_MMAP()) {
                readSparse(header, sparse);
            } else if (id == vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE()) {
                msixMappable = true;
            }
            long next = Integer.toUnsignedLong(vfio_info_cap_header.next(header));
            at = next > at ? next : 0;
        }
        return new VfioRegion(
                index,
                flags,
                vfio_region_info.size(info),
                vfio_region_info.offset(info),
                List.copyOf(sparse),
                msixMappable);
    }

    private static void readSparse(MemorySegment capability, List<VfioRegion.Area> areas) {
        long room = (capability.byteSize() - vfio_region_info_cap_sparse_mmap.sizeof())
                / vfio_region_sparse_mmap_area.sizeof();
        long count = room < 0 ? 0 : Math.min(room, vfio_region_info_cap_sparse_mmap.nr_areas(capability));
        for (long i = 0; i < count; i++) {
            MemorySegment area = capability.asSlice(
                    vfio_region_info_cap_sparse_mmap.sizeof() + i * vfio_region_sparse_mmap_area.sizeof());
            areas.add(new VfioRegion.Area(
                    vfio_region_sparse_mmap_area.offset(area), vfio_region_sparse_mmap_area.size(area)));
        }
    }
}
