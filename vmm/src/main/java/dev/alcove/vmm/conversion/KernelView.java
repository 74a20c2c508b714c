// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import java.util.List;

/**
 * What a kernel itself knows, for one that can be asked. Linux has no such calls; the emulated kernel and the lab do.
 */
public interface KernelView {
    /** Guest physical addresses in a range that have the private attribute. */
    RangeSet privateRanges(GpaRange range);

    /** IOVAs in a range (which are guest physical addresses) that a device can reach through the IOMMU. */
    RangeSet iommuMapped(GpaRange range);

    /** Frames that are free but mapped or pinned, frames that a device reaches and should not, and the like. */
    List<String> frameViolations();
}
