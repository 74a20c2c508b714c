// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.vmm.RunReport;
import java.util.ArrayList;
import java.util.List;

/**
 * What a report says, in a few lines: a name and its value each.
 *
 * @param report may be somebody else's: any number in it may be wrong, and any text
 */
record ReportText(RunReport report) {
    /** A name and what there is to say of it. */
    record Line(String name, String value) {}

    /** What was the case at the end, the most important first. */
    List<Line> lines() {
        List<Line> lines = new ArrayList<>();
        lines.add(new Line("result", report.exit().reason() + " (status " + report.exit().status() + ")"));
        lines.add(new Line("kernel", report.kernel().kind() + " " + report.kernel().release() + ", " + report.coco()));
        RunReport.Memory memory = report.memory();
        lines.add(new Line("memory", size(memory.bytes()) + ": " + size(memory.sharedBytes()) + " shared, "
                + size(memory.privateBytes()) + " private"));
        RunReport.Conversions conversions = report.conversions();
        lines.add(new Line("conversions", conversions.toShared() + " to shared, " + conversions.toPrivate()
                + " to private, " + size(conversions.bytes()) + " in all, " + conversions.failed() + " refused"));
        RunReport.Iommu iommu = report.iommu();
        lines.add(new Line("IOMMU", iommu.strategy() + ": " + iommu.mapIoctls() + " maps, " + iommu.unmapIoctls()
                + " unmaps, " + size(iommu.mappedBytes()) + " mapped"));
        RunReport.Dma dma = report.dma();
        if (dma != null) {
            lines.add(new Line("DMA", dma.completed() + " transfers completed, " + dma.blocked() + " blocked; pages: "
                    + dma.sharedPages() + " shared, " + dma.privatePages() + " private, " + dma.freedPages()
                    + " freed, " + dma.holePages() + " not mapped"));
        }
        lines.add(new Line("invariants", report.invariants().checks() + " checks, "
                + report.invariants().violations() + " violations"));
        lines.add(new Line("time", report.wallMillis() + " ms"
                + (report.instructions() == null ? "" : ", " + report.instructions() + " guest instructions")));
        return lines;
    }

    /** All of it for a terminal. */
    String text() {
        StringBuilder text = new StringBuilder();
        for (Line line : lines()) {
            text.append(String.format("%-12s %s%n", line.name(), line.value()));
        }
        return text.toString();
    }

    /** Bytes as a person writes them: in the largest unit of which there is at least one. */
    static String size(long bytes) {
        String[] units = {"B", "KiB", "MiB", "GiB", "TiB"};
        int unit = 0;
        double value = bytes;
        while (value >= 1024 && unit + 1 < units.length) {
            value /= 1024;
            unit++;
        }
        String number = String.format(java.util.Locale.ROOT, "%.1f", value);
        return (number.endsWith(".0") ? number.substring(0, number.length() - 2) : number) + " " + units[unit];
    }
}
