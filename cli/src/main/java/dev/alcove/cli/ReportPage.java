// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.vmm.RunReport;
import java.util.Locale;

/** A report as one HTML page that needs nothing else: no script, no font, no network. */
record ReportPage(RunReport report) {
    private static final String STYLE = """
            body { font: 15px/1.5 system-ui, sans-serif; color: #1d2433; max-width: 1120px; margin: 2em auto; padding: 0 1em }
            h1 { font-size: 1.5em; margin-bottom: 0 }
            h2 { font-size: 1.1em; margin: 1.8em 0 .4em }
            .bad { color: #d7263d } .good { color: #23795f }
            table { border-collapse: collapse } td { padding: .15em 1.5em .15em 0; vertical-align: top }
            td:first-child { color: #5b6475 }
            svg { width: 100%; height: auto }
            .label { font: 10px ui-monospace, monospace; text-anchor: end; fill: #1d2433 } .size { fill: #7a8496 }
            .tick { font: 11px system-ui, sans-serif; text-anchor: middle; fill: #5b6475 }
            .axis { stroke: #9aa3b2 } .blocked { stroke: #d7263d; stroke-width: 1.6 }
            .line { fill: none }
            .key { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; margin: 0 .4em 0 1.2em }
            """;

    /** The page. */
    String html() {
        StringBuilder page = new StringBuilder();
        String verdict = verdict();
        page.append("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>Alcove: ")
                .append(escaped(verdict))
                .append("</title>\n<style>\n")
                .append(STYLE)
                .append("</style></head><body>\n<h1 class=\"")
                .append(report.exit().status() == 0 ? "good" : "bad")
                .append("\">")
                .append(escaped(verdict))
                .append("</h1>\n");
        memory(page);
        page.append("<h2>In numbers</h2>\n<table>\n");
        for (ReportText.Line line : new ReportText(report).lines()) {
            page.append("<tr><td>")
                    .append(escaped(line.name()))
                    .append("</td><td>")
                    .append(escaped(line.value()))
                    .append("</td></tr>\n");
        }
        return page.append("</table>\n</body></html>\n").toString();
    }

    private String verdict() {
        RunReport.Dma dma = report.dma();
        String devices = dma == null ? "" : "; " + dma.blocked() + " DMA transfers blocked, "
                + (dma.privatePages() + dma.freedPages()) + " went where they must not";
        return report.exit().reason() + ": " + report.invariants().violations() + " violations" + devices;
    }

    private void memory(StringBuilder page) {
        RunReport.Timeline timeline = report.timeline();
        if (timeline == null || timeline.columns().isEmpty()) {
            page.append("<p>The machine never ran: there is no picture of its memory.</p>\n");
            return;
        }
        page.append("<h2>The guest's memory over time</h2>\n<p>Addresses from top to bottom; what never changed takes few"
                + " rows, however large it is.");
        key(page, MemoryPicture.PRIVATE, "private");
        key(page, MemoryPicture.MAPPED, "shared, and in reach of a device");
        key(page, MemoryPicture.SHARED, "shared, in reach of none");
        key(page, MemoryPicture.EXPOSED, "private, yet in reach");
        page.append("<span class=\"bad\" style=\"margin:0 .4em 0 1.2em\">\u2715</span>DMA refused</p>\n")
                .append(MemoryPicture.svg(timeline));
        if (timeline.blockedDmaNotShown() > 0) {
            page.append("<p>").append(timeline.blockedDmaNotShown()).append(" more pages of DMA were refused.</p>\n");
        }
        page.append("<h2>How much of it</h2>\n<p>Largest values:");
        for (CounterChart.Line line : CounterChart.lines(timeline)) {
            key(page, line.colour(), line.name() + ", " + ReportText.size(line.largest()));
        }
        page.append("</p>\n").append(CounterChart.svg(timeline));
    }

    private static void key(StringBuilder page, String colour, String text) {
        page.append(String.format(
                Locale.ROOT, "<span class=\"key\" style=\"background:%s\"></span>%s%n", colour, escaped(text)));
    }

    /** What a guest or a kernel said is text, whatever it looks like. */
    static String escaped(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }
}
