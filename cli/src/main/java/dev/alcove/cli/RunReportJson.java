// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.alcove.vmm.RunReport;
import java.io.IOException;
import java.io.OutputStream;
import org.jspecify.annotations.Nullable;

/** Writes a {@link RunReport} as JSON; the field names are those of the record. */
final class RunReportJson {
    private RunReportJson() {}

    static void write(RunReport report, OutputStream out) throws IOException {
        try (JsonGenerator json = new JsonFactory().createGenerator(out).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeObjectFieldStart("kernel");
            json.writeStringField("kind", report.kernel().kind());
            json.writeStringField("release", report.kernel().release());
            json.writeEndObject();
            json.writeStringField("coco", report.coco());
            json.writeObjectFieldStart("exit");
            json.writeStringField("reason", report.exit().reason());
            json.writeNumberField("status", report.exit().status());
            json.writeEndObject();
            number(json, "instructions", report.instructions());
            json.writeNumberField("wallMillis", report.wallMillis());
            json.writeObjectFieldStart("memory");
            json.writeNumberField("bytes", report.memory().bytes());
            json.writeNumberField("sharedBytes", report.memory().sharedBytes());
            json.writeNumberField("privateBytes", report.memory().privateBytes());
            json.writeEndObject();
            json.writeObjectFieldStart("conversions");
            json.writeNumberField("toShared", report.conversions().toShared());
            json.writeNumberField("toPrivate", report.conversions().toPrivate());
            json.writeNumberField("bytes", report.conversions().bytes());
            json.writeNumberField("failed", report.conversions().failed());
            json.writeEndObject();
            json.writeObjectFieldStart("iommu");
            json.writeStringField("strategy", report.iommu().strategy());
            json.writeNumberField("mapIoctls", report.iommu().mapIoctls());
            json.writeNumberField("unmapIoctls", report.iommu().unmapIoctls());
            json.writeNumberField("mappedBytes", report.iommu().mappedBytes());
            json.writeEndObject();
            dma(json, report.dma());
            json.writeObjectFieldStart("invariants");
            json.writeNumberField("checks", report.invariants().checks());
            json.writeNumberField("violations", report.invariants().violations());
            json.writeEndObject();
            json.writeEndObject();
            json.writeRaw('\n');
        }
    }

    private static void number(JsonGenerator json, String name, @Nullable Long value) throws IOException {
        if (value == null) {
            json.writeNullField(name);
        } else {
            json.writeNumberField(name, value);
        }
    }

    private static void dma(JsonGenerator json, RunReport.@Nullable Dma dma) throws IOException {
        if (dma == null) {
            json.writeNullField("dma");
            return;
        }
        json.writeObjectFieldStart("dma");
        json.writeNumberField("completed", dma.completed());
        json.writeNumberField("blocked", dma.blocked());
        json.writeNumberField("sharedPages", dma.sharedPages());
        json.writeNumberField("privatePages", dma.privatePages());
        json.writeNumberField("freedPages", dma.freedPages());
        json.writeNumberField("holePages", dma.holePages());
        json.writeEndObject();
    }
}
