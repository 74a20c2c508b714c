// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.report;

import dev.alcove.contract.report.TestResult.Outcome;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** The report as one page of HTML that needs nothing else. */
record HtmlReport(ContractReport report) {
    private static final String HEAD = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>The contract</title>
            <style>
            :root { color-scheme: light dark }
            body { font: 15px/1.45 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }
            h1 { font-size: 1.3em } h2 { font-size: 1.1em; margin-top: 2em }
            .wide { overflow-x: auto }
            table { border-collapse: collapse }
            th, td { padding: .25em .8em .25em 0; border-bottom: 1px solid #8884; text-align: left; vertical-align: top }
            tr:last-child td { font-weight: bold }
            .skips td { font-weight: normal !important }
            .differ { color: #c22; font-weight: bold }
            .none { color: #888 }
            code { font-size: .93em }
            </style></head><body>
            """;

    String text() {
        StringBuilder page = new StringBuilder(HEAD);
        page.append("<h1>").append(escaped(report.title())).append("</h1>\n<div class=\"wide\"><table>\n<tr><th>surface</th>");
        report.kernels().forEach(kernel -> page.append("<th>").append(escaped(kernel)).append("</th>"));
        page.append("</tr>\n");
        for (String surface : report.surfaces()) {
            row(page, surface, result -> result.surface().equals(surface));
        }
        row(page, "all", result -> true);
        page.append("</table></div>\n");
        section(page, "What differs", report.differences());
        section(page, "Run on a kernel, skipped on its emulation, or the other way round", report.uneven());
        if (!report.skips().isEmpty()) {
            page.append("<h2>Skipped</h2>\n<table class=\"skips\">\n<tr><th>times</th><th>kernels</th><th>reason</th></tr>\n");
            report.skips().forEach((reason, some) -> page.append("<tr><td>").append(some.size()).append("</td><td>")
                    .append(escaped(ContractReport.kernelsOf(some))).append("</td><td>").append(escaped(reason))
                    .append("</td></tr>\n"));
            page.append("</table>\n");
        }
        return page.append("</body></html>\n").toString();
    }

    private void row(StringBuilder page, String name, Predicate<TestResult> of) {
        page.append("<tr><td>").append(escaped(name)).append("</td>");
        for (String kernel : report.kernels()) {
            String cell = report.cell(kernel, of);
            boolean differs = report.results().stream().filter(of)
                    .anyMatch(result -> result.kernel().equals(kernel) && result.outcome() == Outcome.FAIL);
            page.append(differs ? "<td class=\"differ\">" : cell.contains("pass") ? "<td>" : "<td class=\"none\">")
                    .append(escaped(cell)).append("</td>");
        }
        page.append("</tr>\n");
    }

    private static void section(StringBuilder page, String title, Map<String, List<String>> lines) {
        if (!lines.isEmpty()) {
            page.append("<h2>").append(escaped(title)).append("</h2>\n<ul>\n");
            lines.forEach((test, reasons) -> {
                page.append("<li><code>").append(escaped(test)).append("</code><ul>");
                reasons.forEach(reason -> page.append("<li>").append(escaped(reason)).append("</li>"));
                page.append("</ul></li>\n");
            });
            page.append("</ul>\n");
        }
    }

    private static String escaped(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }
}
