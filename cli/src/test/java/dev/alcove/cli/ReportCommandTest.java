// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.vmm.RunReport;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class ReportCommandTest {
    private final Path folder;
    private final StringWriter out = new StringWriter();
    private final StringWriter errors = new StringWriter();

    ReportCommandTest(@TempDir Path folder) {
        this.folder = folder;
    }

    private int report(String... arguments) {
        String[] all = new String[arguments.length + 1];
        all[0] = "report";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        return Alcove.execute(all, new PrintWriter(out, true), new PrintWriter(errors, true));
    }

    private static RunReport example(String reason) {
        RunReport.Timeline timeline = new RunReport.Timeline(
                List.of(new RunReport.Row(0, 1 << 20, false), new RunReport.Row(1 << 20, 8192, true)),
                List.of(
                        new RunReport.Column(0, 0, 1 << 20, 0, 0, 1, 0, List.of(0, 0), List.of(0, 0)),
                        new RunReport.Column(90, 4096, 1 << 20, 4096, 1, 1, 0, List.of(0, 500), List.of(0, 500)),
                        new RunReport.Column(200, 8192, 1 << 20, 8192, 2, 1, 0, List.of(1, 1000), List.of(1000, 1000))),
                List.of(new RunReport.BlockedDma(90, (1 << 20) + 4096, true), new RunReport.BlockedDma(91, -1, false)),
                3);
        return new RunReport(
                new RunReport.Kernel("emulated", "7.2"),
                "sw-protected",
                new RunReport.Exit(reason, 0),
                5L,
                1,
                new RunReport.Memory((1 << 20) + 8192, 8192, 1 << 20, 8192L, null, 4096L),
                new RunReport.Conversions(2, 1, 12288, 0),
                new RunReport.Iommu("cut", 2, 1, 8192),
                new RunReport.Dma(1, 1, 1, 0, 0, 1),
                new RunReport.Invariants(1, 0),
                timeline);
    }

    private Path written(RunReport report) throws IOException {
        ByteArrayOutputStream json = new ByteArrayOutputStream();
        RunReportJson.write(report, json);
        return Files.write(folder.resolve("r.json"), json.toByteArray());
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        RunReport report = example("fine");
        assertEquals(report, RunReportJson.read(Files.newInputStream(written(report))));
    }

    @Test
    void asText() throws IOException {
        assertEquals(0, report(written(example("fine")).toString()));
        assertTrue(out.toString().contains("2 to shared, 1 to private, 12 KiB in all, 0 refused"), out.toString());
    }

    @Test
    void thePageIsWellFormedWhateverTheGuestSaid() throws Exception {
        assertEquals(0, report(written(example("</h1><script>alert(\"&\")</script>")).toString(), "--html", "-o", "-"));
        String page = out.toString();
        assertFalse(page.contains("<script"), page);
        // The page is XML but for its doctype and the meta element, which HTML does not close.
        String xml = page.substring(page.indexOf("<html")).replace("<meta charset=\"utf-8\">", "");
        var document = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(new ByteArrayInputStream(xml.getBytes(StandardCharsets.UTF_8)));
        assertEquals(2, document.getElementsByTagName("svg").getLength());
        assertTrue(page.contains("3 more pages of DMA were refused"));
        assertTrue(page.contains(MemoryPicture.EXPOSED), "memory that is private and mapped has its own colour");
        assertTrue(page.contains("write of 0x101000 refused at 90 us"));
    }

    @Test
    void thePageIsBesideTheReport() throws IOException {
        assertEquals(0, report(written(example("fine")).toString(), "--html"));
        assertTrue(Files.readString(folder.resolve("r.html")).startsWith("<!doctype html>"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "nonsense",
                "[]",
                "null",
                "{}",
                "{\"kernel\":{},\"coco\":\"x\"}",
                "{\"kernel\":7}",
                "{\"wallMillis\":99999999999999999999}"
            })
    void whatIsNoReportIsSaid(String text) throws IOException {
        Path file = Files.writeString(folder.resolve("bad.json"), text);
        assertEquals(2, report(file.toString(), "--html"));
        assertTrue(errors.toString().contains("is no report"), errors.toString());
    }

    @Test
    void columnsThatDoNotFitTheRowsAreDrawnAsNothing() {
        RunReport.Timeline odd = new RunReport.Timeline(
                List.of(new RunReport.Row(0, 4096, true), new RunReport.Row(-5, -1, true)),
                List.of(
                        new RunReport.Column(7, -1, -1, -1, 0, 0, 0, List.of(), List.of(-4, 9999, 3)),
                        new RunReport.Column(Long.MAX_VALUE, 0, 0, 0, 0, 0, 0, List.of(1), List.of())),
                List.of(),
                0);
        assertTrue(MemoryPicture.svg(odd).endsWith("</svg>\n"));
        assertTrue(CounterChart.svg(odd).endsWith("</svg>\n"));
    }

    @Test
    void aFileThatIsNotThere() {
        assertEquals(2, report(folder.resolve("none").toString()));
        assertTrue(errors.toString().contains("cannot be read"), errors.toString());
    }
}
