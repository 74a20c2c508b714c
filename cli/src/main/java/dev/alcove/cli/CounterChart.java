// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.vmm.RunReport;
import java.util.List;
import java.util.Locale;
import java.util.function.ToLongFunction;

/** Draws how many bytes were shared and how many were pinned for devices over time, as SVG. */
final class CounterChart {
    private static final int WIDTH = 960;
    private static final int LEFT = 150;
    private static final int HEIGHT = 110;

    private CounterChart() {}

    /**
     * One line of the chart.
     *
     * @param width of the stroke: where two lines are the same, both are to be seen
     * @param largest of all values, bytes
     */
    record Line(String name, String colour, int width, long largest, ToLongFunction<RunReport.Column> value) {}

    /** The lines, the lowest first. Private memory is all the rest: it has no line. */
    static List<Line> lines(RunReport.Timeline timeline) {
        return List.of(
                line(timeline, "shared", MemoryPicture.SHARED, 5, RunReport.Column::sharedBytes),
                line(timeline, "mapped and pinned for devices", MemoryPicture.MAPPED, 2, RunReport.Column::mappedBytes));
    }

    private static Line line(
            RunReport.Timeline timeline, String name, String colour, int width, ToLongFunction<RunReport.Column> value) {
        long largest = timeline.columns().stream().mapToLong(value).max().orElse(0);
        return new Line(name, colour, width, largest, value);
    }

    /** The chart, as an element for a page. */
    static String svg(RunReport.Timeline timeline) {
        List<Line> lines = lines(timeline);
        double top = Math.max(1, lines.stream().mapToLong(Line::largest).max().orElse(1));
        long end = Math.max(1, timeline.columns().getLast().micros());
        StringBuilder svg = new StringBuilder(String.format(
                Locale.ROOT,
                "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"bytes over time\">%n"
                        + "<text x=\"%d\" y=\"14\" class=\"label\">%s</text><text x=\"%d\" y=\"%d\" class=\"label\">0</text>%n"
                        + "<path d=\"M%d %dh%d\" class=\"axis\"/>%n",
                LEFT + WIDTH + 24,
                HEIGHT + 20,
                LEFT - 8,
                ReportText.size((long) top),
                LEFT - 8,
                HEIGHT + 14,
                LEFT,
                HEIGHT + 10,
                WIDTH));
        for (Line line : lines) {
            svg.append(String.format(
                    "<path class=\"line\" stroke=\"%s\" stroke-width=\"%d\" d=\"", line.colour(), line.width()));
            // Steps: a value holds until the next sample.
            String command = "M";
            double before = 0;
            for (RunReport.Column column : timeline.columns()) {
                double x = LEFT + WIDTH * (double) Math.clamp(column.micros(), 0, end) / end;
                double y = 10 + HEIGHT * (1 - Math.clamp(line.value().applyAsLong(column) / top, 0, 1));
                if (command.equals("L")) {
                    svg.append(String.format(Locale.ROOT, "L%.1f %.1f", x, before));
                }
                svg.append(String.format(Locale.ROOT, "%s%.1f %.1f", command, x, y));
                command = "L";
                before = y;
            }
            svg.append("\"/>\n");
        }
        return svg.append("</svg>\n").toString();
    }
}
