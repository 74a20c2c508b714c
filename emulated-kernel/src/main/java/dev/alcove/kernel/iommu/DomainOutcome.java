// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** What a driver answers to the wish for a page table. */
public sealed interface DomainOutcome {
    /** Here it is. */
    record Made(IommuDomain domain) implements DomainOutcome {}

    /**
     * It cannot be had.
     *
     * @param errno why, positive
     */
    record Refused(int errno) implements DomainOutcome {}
}
