// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.vmm.RunReport;
import java.util.List;
import java.util.Locale;

/**
 * Draws the guest's memory over time as SVG: a row for each piece of RAM, time to the right. A cell's colour is mixed
 * from those of its private, mapped and unmapped shared parts; a cross is a page of DMA that the IOMMU refused.
 */
final class MemoryPicture {
    /** Private memory. */
    static final String PRIVATE = "#22304f";
    /** Shared, and in reach of a device. */
    static final String MAPPED = "#4fb99f";
    /** Shared, but in reach of no device. */
    static final String SHARED = "#e8b04b";
    /** What must not be: private, and in reach of a device. */
    static final String EXPOSED = "#e0115f";
    /** DMA that was refused. */
    static final String BLOCKED = "#d7263d";

    private static final int WIDTH = 960;
    private static final int LEFT = 150;
    private static final int TOP = 8;
    private static final int ROW = 8;
    private static final int GAP = 5;
    private static final int AXIS = 34;
    private static final int TICKS = 6;
    private static final int WHOLE = 1000;
    /** Shades between nothing and all, so that cells of nearly the same colour become one. */
    private static final int SHADES = 20;

    private final RunReport.Timeline timeline;
    private final long end;
    private final StringBuilder svg = new StringBuilder();

    private MemoryPicture(RunReport.Timeline timeline) {
        this.timeline = timeline;
        long last = timeline.columns().isEmpty() ? 0 : timeline.columns().getLast().micros();
        this.end = Math.max(1, last);
    }

    /** The picture, as an element for a page. */
    static String svg(RunReport.Timeline timeline) {
        return new MemoryPicture(timeline).draw();
    }

    private String draw() {
        int bottom = y(timeline.rows().size());
        svg.append(String.format(
                Locale.ROOT,
                "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"guest memory over time\">%n",
                LEFT + WIDTH + 24,
                bottom + AXIS));
        for (int row = 0; row < timeline.rows().size(); row++) {
            label(row);
            cells(row);
        }
        blocked();
        axis(bottom);
        return svg.append("</svg>\n").toString();
    }

    /** Pieces that changed and pieces that did not are set apart. */
    private int y(int row) {
        int gaps = 0;
        for (int index = 1; index <= Math.min(row, timeline.rows().size() - 1); index++) {
            if (begins(index)) {
                gaps++;
            }
        }
        return TOP + row * ROW + gaps * GAP;
    }

    private boolean begins(int row) {
        List<RunReport.Row> rows = timeline.rows();
        return row == 0
                || rows.get(row).changes() != rows.get(row - 1).changes()
                || rows.get(row).gpa() != rows.get(row - 1).gpa() + rows.get(row - 1).bytes();
    }

    /** Says where a part begins, and how much a row of it is. */
    private void label(int row) {
        if (!begins(row)) {
            return;
        }
        RunReport.Row first = timeline.rows().get(row);
        long bytes = 0;
        for (int index = row; index < timeline.rows().size() && (index == row || !begins(index)); index++) {
            bytes += timeline.rows().get(index).bytes();
        }
        svg.append(String.format(
                Locale.ROOT,
                "<text x=\"%d\" y=\"%d\" class=\"label\">0x%x <tspan class=\"size\">%s</tspan></text>%n",
                LEFT - 8,
                y(row) + ROW + 2,
                first.gpa(),
                ReportText.size(bytes)));
    }

    private void cells(int row) {
        List<RunReport.Column> columns = timeline.columns();
        int from = 0;
        for (int index = 1; index <= columns.size(); index++) {
            if (index == columns.size() || !colour(columns.get(index), row).equals(colour(columns.get(from), row))) {
                double left = x(columns.get(from).micros());
                double right = index == columns.size() ? LEFT + WIDTH : x(columns.get(index).micros());
                cell(row, left, right, columns.get(from));
                from = index;
            }
        }
    }

    private void cell(int row, double left, double right, RunReport.Column column) {
        RunReport.Row memory = timeline.rows().get(row);
        svg.append(String.format(
                Locale.ROOT,
                "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"><title>0x%x, %s, from %s:"
                        + " %.1f %% shared, %.1f %% mapped</title></rect>%n",
                left,
                y(row),
                Math.max(1, right - left + 0.3),
                ROW,
                colour(column, row),
                memory.gpa(),
                ReportText.size(memory.bytes()),
                time(column.micros()),
                part(column.shared(), row) / 10.0,
                part(column.mapped(), row) / 10.0));
    }

    private static int part(List<Integer> parts, int row) {
        return row < parts.size() ? Math.clamp(parts.get(row), 0, WHOLE) : 0;
    }

    private static String colour(RunReport.Column column, int row) {
        int shared = part(column.shared(), row);
        int mapped = part(column.mapped(), row);
        if (mapped > shared) {
            return EXPOSED;
        }
        double reach = shade(mapped);
        double unmapped = Math.min(1 - reach, shade(shared - mapped));
        StringBuilder colour = new StringBuilder("#");
        for (int digit = 1; digit < 7; digit += 2) {
            double value = channel(MAPPED, digit) * reach
                    + channel(SHARED, digit) * unmapped
                    + channel(PRIVATE, digit) * (1 - reach - unmapped);
            colour.append(String.format(Locale.ROOT, "%02x", Math.round(value)));
        }
        return colour.toString();
    }

    /** A little of something is to be seen. */
    private static double shade(int thousandths) {
        if (thousandths == 0 || thousandths == WHOLE) {
            return thousandths / (double) WHOLE;
        }
        return Math.clamp(Math.round(thousandths * (double) SHADES / WHOLE), 3, SHADES - 1) / (double) SHADES;
    }

    private static int channel(String colour, int digit) {
        return Integer.parseInt(colour, digit, digit + 2, 16);
    }

    private void blocked() {
        for (RunReport.BlockedDma access : timeline.blockedDma()) {
            int row = rowOf(access.iova());
            if (row < 0) {
                continue;
            }
            double x = x(access.micros());
            double y = y(row) + ROW / 2.0;
            svg.append(String.format(
                    Locale.ROOT,
                    "<path d=\"M%.1f %.1fl6 6m-6 0l6 -6\" class=\"blocked\"><title>%s of 0x%x refused at %s</title></path>%n",
                    x - 3,
                    y - 3,
                    access.write() ? "write" : "read",
                    access.iova(),
                    time(access.micros())));
        }
    }

    private int rowOf(long gpa) {
        for (int row = 0; row < timeline.rows().size(); row++) {
            RunReport.Row memory = timeline.rows().get(row);
            if (gpa >= memory.gpa() && gpa - memory.gpa() < memory.bytes()) {
                return row;
            }
        }
        return -1;
    }

    private void axis(int bottom) {
        long step = step(end / TICKS);
        for (long micros = 0; micros <= end && micros >= 0; micros += step) {
            svg.append(String.format(
                    Locale.ROOT,
                    "<path d=\"M%.1f %dv4\" class=\"axis\"/><text x=\"%.1f\" y=\"%d\" class=\"tick\">%s</text>%n",
                    x(micros),
                    bottom + 4,
                    x(micros),
                    bottom + 22,
                    time(micros)));
        }
    }

    /** The next round number: 1, 2 or 5 and zeros. */
    private static long step(long least) {
        long power = 1;
        while (power < Long.MAX_VALUE / 100 && power * 10 <= least) {
            power *= 10;
        }
        for (long factor : new long[] {1, 2, 5}) {
            if (power * factor >= least) {
                return power * factor;
            }
        }
        return power * 10;
    }

    private double x(long micros) {
        return LEFT + WIDTH * (double) Math.clamp(micros, 0, end) / end;
    }

    private static String time(long micros) {
        if (micros < 10_000) {
            return micros + " us";
        }
        if (micros < 10_000_000) {
            return micros / 1000 + " ms";
        }
        return micros % 1_000_000 == 0
                ? micros / 1_000_000 + " s"
                : String.format(Locale.ROOT, "%.1f s", micros / 1_000_000.0);
    }
}
