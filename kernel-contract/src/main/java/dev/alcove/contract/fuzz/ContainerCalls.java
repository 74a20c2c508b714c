// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.StructCall.Kind;
import java.util.List;

import static dev.alcove.contract.fuzz.StructCall.field;
import static dev.alcove.contract.fuzz.StructCall.quad;
import static dev.alcove.contract.fuzz.StructCall.word;

/**
 * The ioctls of group files and containers, with the layouts of linux/vfio.h. Mapping, unmapping and asking a container
 * are those of {@link IommufdCalls}.
 */
final class ContainerCalls {
    static final int CHECK_EXTENSION = 0x3b65;
    static final int SET_IOMMU = 0x3b66;
    static final int UNSET_CONTAINER = 0x3b69;

    static final StructCall STATUS = StructCall.of("group_status", 0x3b67, 8, word("flags", 4));
    static final StructCall DIRTY = StructCall.of(
            "dirty_pages", 0x3b75, 48, word("flags", 4), quad("iova", 8), quad("length", 16), quad("page", 24),
            quad("room", 32), field("data", 40, 8, Kind.BUFFER));
    static final StructCall UNMAP_DIRTY = StructCall.of(
            "unmap_dirty", 0x3b72, 48, word("flags", 4), quad("iova", 8), quad("length", 16), quad("page", 24),
            quad("room", 32), field("data", 40, 8, Kind.BUFFER));

    private static final List<StructCall> ALL = List.of(
            STATUS, DIRTY, UNMAP_DIRTY, VfioCalls.INFO, VfioCalls.BIND, VfioCalls.ATTACH, VfioCalls.DETACH,
            VfioCalls.HOT_RESET_INFO, VfioCalls.HOT_RESET);

    private ContainerCalls() {}

    /** All of them, and those of a device that look at how it was opened. */
    static List<StructCall> all() {
        return ALL;
    }
}
