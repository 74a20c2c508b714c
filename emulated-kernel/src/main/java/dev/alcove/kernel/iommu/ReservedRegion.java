// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/**
 * IOVAs that mean something else than memory to a device.
 *
 * @param first first byte
 * @param last last byte
 */
public record ReservedRegion(long first, long last, Type type) {
    /** As in {@code /sys/kernel/iommu_groups/N/reserved_regions}. */
    public enum Type {
        DIRECT,
        /** May be given up when user space takes the device over. */
        DIRECT_RELAXABLE,
        RESERVED,
        MSI
    }
}
