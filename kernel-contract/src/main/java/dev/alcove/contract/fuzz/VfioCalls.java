// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.StructCall.Kind;
import java.util.List;

import static dev.alcove.contract.fuzz.StructCall.field;
import static dev.alcove.contract.fuzz.StructCall.quad;
import static dev.alcove.contract.fuzz.StructCall.word;

/** The ioctls of a VFIO device file, with the layouts of linux/vfio.h. */
final class VfioCalls {
    static final StructCall INFO = StructCall.of("device_info", 0x3b6b, 24, word("flags", 4), word("regions", 8), word("irqs", 12));
    static final StructCall REGION = StructCall.of(
            "region_info", 0x3b6c, 32, field("flags", 4, 4, Kind.OUT), word("index", 8), field("size", 16, 8, Kind.OUT),
            field("offset", 24, 8, Kind.OUT));
    static final StructCall IRQ = StructCall.of(
            "irq_info", 0x3b6d, 16, field("flags", 4, 4, Kind.OUT), word("index", 8), field("count", 12, 4, Kind.OUT));
    static final StructCall IRQ_VALUE = StructCall.of(
            "irq_value", 0x3b6e, 24, word("flags", 4), word("index", 8), word("start", 12), word("count", 16), word("value", 20));
    static final StructCall IRQ_EVENT = StructCall.of(
            "irq_event", 0x3b6e, 24, word("flags", 4), word("index", 8), word("start", 12), word("count", 16),
            field("event", 20, 4, Kind.FILE));
    static final StructCall HOT_RESET_INFO = StructCall.of("hot_reset_info", 0x3b70, 12, word("flags", 4), word("count", 8));
    static final StructCall HOT_RESET = StructCall.of("hot_reset", 0x3b71, 12, word("flags", 4), word("count", 8));
    static final StructCall IOEVENTFD = StructCall.of(
            "ioeventfd", 0x3b74, 32, word("flags", 4), quad("offset", 8), quad("value", 16), field("event", 24, 4, Kind.FILE));
    static final StructCall FEATURE =
            StructCall.of("feature", 0x3b75, 16, word("flags", 4), field("event", 8, 4, Kind.FILE), word("reserved", 12));
    static final StructCall BIND = StructCall.of(
            "bind", 0x3b76, 24, word("flags", 4), field("iommufd", 8, 4, Kind.FILE), field("id", 12, 4, Kind.OUT),
            field("token", 16, 8, Kind.BUFFER));
    static final StructCall ATTACH = StructCall.of("attach", 0x3b77, 16, word("flags", 4), word("pt", 8), word("pasid", 12));
    static final StructCall DETACH = StructCall.of("detach", 0x3b78, 12, word("flags", 4), word("pasid", 8));

    private static final List<StructCall> ALL = List.of(
            INFO, REGION, IRQ, IRQ_VALUE, IRQ_EVENT, HOT_RESET_INFO, HOT_RESET, IOEVENTFD, FEATURE, BIND, ATTACH, DETACH);

    private VfioCalls() {}

    /** All of them. */
    static List<StructCall> all() {
        return ALL;
    }
}
