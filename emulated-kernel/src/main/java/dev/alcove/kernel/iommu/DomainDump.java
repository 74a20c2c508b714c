// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.Locale;

/**
 * The text of debugfs' iommu/intel/DEVICE/domain_translation_struct: a line for each page that a device's page table maps,
 * with the entries on the way to it (CONFIG_INTEL_IOMMU_DEBUGFS).
 *
 * <p>The tables are no part of the machine's memory: an entry that leads to one has a number in place of its address.
 */
public final class DomainDump {
    private static final int LEVELS = 4;
    private static final int ENTRY_BITS = 9;
    private static final int PAGE_SHIFT = 12;
    /** The entry is a page although tables could come below it. */
    private static final long LARGE = 0x80;

    private static final String HEADER = "%-17s\t%-18s\t%-18s\t%-18s\t%-18s\t%-18s".formatted(
            "IOVA_PFN", "PML5E", "PML4E", "PDPE", "PDE", "PTE").stripTrailing();

    private DomainDump() {}

    /**
     * Reads the page table of a device; nothing where its DMA is blocked.
     *
     * @param name of the device
     */
    public static String of(String name, IommuDevice device) {
        IommuDomain domain = device.group().domain();
        if (domain == null) {
            return "";
        }
        StringBuilder text = new StringBuilder();
        text.append("Device %s @0x%x\n".formatted(name, (long) domain.id() << PAGE_SHIFT)).append(HEADER).append('\n');
        domain.forEachPage((iova, address, length, rights) -> line(text, iova, address, length, rights));
        return text.toString();
    }

    private static void line(StringBuilder text, long iova, long address, long length, int rights) {
        int leaf = (Long.numberOfTrailingZeros(length) - PAGE_SHIFT) / ENTRY_BITS;
        text.append(String.format(Locale.ROOT, "0x%013x |\t0x%016x", iova >>> PAGE_SHIFT, 0));
        for (int level = LEVELS - 1; level >= leaf; level--) {
            long table = (iova >>> (PAGE_SHIFT + ENTRY_BITS * level)) + 1;
            long entry = level > leaf
                    ? (table << PAGE_SHIFT) | IommuDomain.READ | IommuDomain.WRITE
                    : address | rights | (leaf > 0 ? LARGE : 0);
            text.append(String.format(Locale.ROOT, "\t0x%016x", entry));
        }
        text.append('\n');
    }
}
