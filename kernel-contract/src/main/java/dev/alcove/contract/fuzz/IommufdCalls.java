// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.StructCall.Kind;
import java.util.List;

import static dev.alcove.contract.fuzz.StructCall.field;
import static dev.alcove.contract.fuzz.StructCall.quad;
import static dev.alcove.contract.fuzz.StructCall.word;

/** The ioctls of /dev/iommu, with the layouts of linux/iommufd.h, and those of linux/vfio.h that it takes as well. */
final class IommufdCalls {
    static final StructCall DESTROY = StructCall.of("destroy", 0x3b80, 8, word("id", 4));
    static final StructCall IOAS_ALLOC =
            StructCall.of("ioas_alloc", 0x3b81, 12, word("flags", 4), field("id", 8, 4, Kind.OUT));
    static final StructCall ALLOW_IOVAS = StructCall.of(
            "allow_iovas", 0x3b82, 24, word("ioas", 4), word("count", 8), word("reserved", 12),
            field("ranges", 16, 8, Kind.BUFFER)).withWords(6);
    static final StructCall COPY = StructCall.of(
            "copy", 0x3b83, 40, word("flags", 4), word("to", 8), word("from", 12), quad("length", 16),
            quad("to_iova", 24), quad("from_iova", 32));
    static final StructCall IOVA_RANGES = StructCall.of(
            "iova_ranges", 0x3b84, 32, word("ioas", 4), word("count", 8), word("reserved", 12),
            field("ranges", 16, 8, Kind.BUFFER), field("alignment", 24, 8, Kind.OUT));
    static final StructCall MAP = StructCall.of(
            "map", 0x3b85, 40, word("flags", 4), word("ioas", 8), word("reserved", 12), field("user", 16, 8, Kind.USER),
            quad("length", 24), quad("iova", 32));
    static final StructCall UNMAP =
            StructCall.of("unmap", 0x3b86, 24, word("ioas", 4), quad("iova", 8), quad("length", 16));
    static final StructCall OPTION = StructCall.of(
            "option", 0x3b87, 24, word("option", 4), field("op", 8, 2, Kind.VALUE), field("reserved", 10, 2, Kind.VALUE),
            word("object", 12), quad("value", 16));
    static final StructCall VFIO_IOAS = StructCall.of(
            "vfio_ioas", 0x3b88, 12, word("ioas", 4), field("op", 8, 2, Kind.VALUE), field("reserved", 10, 2, Kind.VALUE));
    static final StructCall HWPT_ALLOC = StructCall.of(
            "hwpt_alloc", 0x3b89, 48, word("flags", 4), word("device", 8), word("pt", 12), field("id", 16, 4, Kind.OUT),
            word("reserved", 20), word("type", 24), word("length", 28), field("data", 32, 8, Kind.BUFFER),
            word("fault", 40), word("reserved2", 44));
    static final StructCall HW_INFO = StructCall.of(
            "hw_info", 0x3b8a, 40, word("flags", 4), word("device", 8), word("length", 12),
            field("data", 16, 8, Kind.BUFFER), word("type", 24), word("reserved", 28));
    static final StructCall DIRTY_TRACKING = StructCall.of(
            "dirty_tracking", 0x3b8b, 16, word("flags", 4), word("hwpt", 8), word("reserved", 12));
    static final StructCall DIRTY_BITMAP = StructCall.of(
            "dirty_bitmap", 0x3b8c, 48, word("hwpt", 4), word("flags", 8), word("reserved", 12), quad("iova", 16),
            quad("length", 24), quad("page", 32), field("data", 40, 8, Kind.BUFFER));
    static final StructCall INVALIDATE = StructCall.of(
            "invalidate", 0x3b8d, 32, word("hwpt", 4), field("data", 8, 8, Kind.BUFFER), word("type", 16),
            word("length", 20), word("count", 24), word("reserved", 28));
    static final StructCall FAULT_ALLOC = StructCall.of(
            "fault_alloc", 0x3b8e, 16, word("flags", 4), field("id", 8, 4, Kind.OUT), field("queue", 12, 4, Kind.NEW_FILE));
    static final StructCall MAP_FILE = StructCall.of(
            "map_file", 0x3b8f, 40, word("flags", 4), word("ioas", 8), field("memory", 12, 4, Kind.FILE),
            quad("start", 16), quad("length", 24), quad("iova", 32));
    static final StructCall VIOMMU_ALLOC = StructCall.of(
            "viommu_alloc", 0x3b90, 40, word("flags", 4), word("type", 8), word("device", 12), word("hwpt", 16),
            field("id", 20, 4, Kind.OUT), word("length", 24), word("reserved", 28), field("data", 32, 8, Kind.BUFFER));
    static final StructCall VDEVICE_ALLOC = StructCall.of(
            "vdevice_alloc", 0x3b91, 24, word("viommu", 4), word("device", 8), field("id", 12, 4, Kind.OUT),
            quad("virtual", 16));
    static final StructCall CHANGE_PROCESS = StructCall.of("change_process", 0x3b92, 8, word("reserved", 4));
    static final StructCall VEVENTQ_ALLOC = StructCall.of(
            "veventq_alloc", 0x3b93, 32, word("flags", 4), word("viommu", 8), word("type", 12), word("depth", 16),
            field("id", 20, 4, Kind.OUT), field("queue", 24, 4, Kind.OUT), word("reserved", 28));
    static final StructCall HW_QUEUE_ALLOC = StructCall.of(
            "hw_queue_alloc", 0x3b94, 40, word("flags", 4), word("viommu", 8), word("type", 12), word("index", 16),
            field("id", 20, 4, Kind.OUT), quad("iova", 24), quad("length", 32));

    static final StructCall TYPE1_INFO = StructCall.of(
            "type1_info", 0x3b70, 24, word("flags", 4), field("pages", 8, 8, Kind.OUT), field("capabilities", 16, 4, Kind.OUT));
    static final StructCall TYPE1_MAP = StructCall.of(
            "type1_map", 0x3b71, 32, word("flags", 4), field("user", 8, 8, Kind.USER), quad("iova", 16), quad("length", 24));
    static final StructCall TYPE1_UNMAP =
            StructCall.of("type1_unmap", 0x3b72, 24, word("flags", 4), quad("iova", 8), quad("length", 16));

    private static final List<StructCall> ALL = List.of(
            DESTROY, IOAS_ALLOC, ALLOW_IOVAS, COPY, IOVA_RANGES, MAP, UNMAP, OPTION, VFIO_IOAS, HWPT_ALLOC, HW_INFO,
            DIRTY_TRACKING, DIRTY_BITMAP, INVALIDATE, FAULT_ALLOC, MAP_FILE, VIOMMU_ALLOC, VDEVICE_ALLOC,
            CHANGE_PROCESS, VEVENTQ_ALLOC, HW_QUEUE_ALLOC, TYPE1_INFO, TYPE1_MAP, TYPE1_UNMAP);

    private IommufdCalls() {}

    /** All of them. */
    static List<StructCall> all() {
        return ALL;
    }
}
