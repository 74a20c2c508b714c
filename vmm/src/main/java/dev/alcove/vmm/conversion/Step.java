// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.memory.MemoryBacking.Side;
import java.util.List;

/** One step of a conversion. All but {@link Free} can be undone. */
public sealed interface Step {
    /** Listeners (the IOMMU) stop using an extent. */
    record Discard(Extent extent) implements Step {}

    /** Listeners (the IOMMU) begin to use an extent. */
    record Populate(Extent extent) implements Step {}

    /**
     * KVM's attributes change.
     *
     * @param hull the range that is set in one ioctl
     * @param changed the parts of it that had the other state before: what an undo sets back
     */
    record Attributes(GpaRange hull, boolean toPrivate, List<GpaRange> changed) implements Step {
        public Attributes {
            changed = List.copyOf(changed);
        }
    }

    /** The state of an extent changes. */
    record State(Extent extent, boolean toPrivate) implements Step {}

    /** The memory that the old side of an extent takes goes back to the host. Its contents are lost: the last step. */
    record Free(Extent extent, Side side) implements Step {}
}
