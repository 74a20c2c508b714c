// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import java.util.List;

/**
 * A region of a device ({@code struct vfio_region_info}).
 *
 * @param index such as VFIO_PCI_CONFIG_REGION_INDEX
 * @param flags {@code VFIO_REGION_INFO_FLAG_*}
 * @param size bytes; 0 where the device does not have the region
 * @param offset where the region begins in the device's descriptor
 * @param sparse the parts that can be mapped, where not all of it can; relative to the region
 * @param msixMappable whether the MSI-X table may be mapped as well
 */
public record VfioRegion(
        int index, int flags, long size, long offset, List<Area> sparse, boolean msixMappable) {

    /** A part of a region: offset and size in bytes. */
    public record Area(long offset, long size) {}

    public boolean readable() {
        return (flags & vfio.VFIO_REGION_INFO_FLAG_READ()) != 0;
    }

    public boolean writable() {
        return (flags & vfio.VFIO_REGION_INFO_FLAG_WRITE()) != 0;
    }

    /** The parts that {@link VfioDevice#mmapRegion} can map; none where it can map nothing. */
    public List<Area> mappable() {
        if ((flags & vfio.VFIO_REGION_INFO_FLAG_MMAP()) == 0 || size == 0) {
            return List.of();
        }
        return sparse.isEmpty() ? List.of(new Area(0, size)) : sparse;
    }
}
