// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import java.util.List;

/**
 * What a guest may convert; what the VMM itself converts, as at the start, only counts. A refusal changes nothing, and the guest gets an error that says which rule it was: EPERM for
 * a denied range, E2BIG for a limit. Both are among the errors of KVM hypercalls (kvm_para.h); the VM goes on.
 *
 * @param sharedBytes so much memory may be shared at most; what was shared at the start counts
 * @param sharedExtents so many separate pieces may the shared memory have at most. Each costs the host kernel an area
 *     of its own in every I/O address space, and memory that no limit of the guest's RAM covers
 * @param denied ranges of which no page may change its state
 */
public record ConversionPolicy(long sharedBytes, int sharedExtents, List<GpaRange> denied) {
    /** As many as vfio_iommu_type1 allows in a container (dma_entry_limit). */
    public static final int DEFAULT_EXTENTS = 65535;

    /** No limit but that on extents. */
    public static final ConversionPolicy DEFAULT = new ConversionPolicy(Long.MAX_VALUE, DEFAULT_EXTENTS, List.of());

    /** Checks the limits. */
    public ConversionPolicy {
        if (sharedBytes < 0 || sharedExtents < 1) {
            throw new IllegalArgumentException(
                    "shared memory of " + sharedBytes + " bytes in " + sharedExtents + " extents");
        }
        denied = List.copyOf(denied);
    }
}
