// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.alcove.vmm.RunReport;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** A {@link RunReport} as JSON: the fields are the components of the record, in their order. */
final class RunReportJson {
    private RunReportJson() {}

    private static JsonMapper mapper() {
        return JsonMapper.builder()
                .enable(SerializationFeature.INDENT_OUTPUT)
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .disable(JsonParser.Feature.AUTO_CLOSE_SOURCE)
                // A report of a newer Alcove may say more.
                .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .build();
    }

    /** Writes a report; the stream stays open. */
    static void write(RunReport report, OutputStream out) throws IOException {
        mapper().writeValue(out, report);
        out.write('\n');
        out.flush();
    }

    /**
     * Reads a report; the stream stays open.
     *
     * @throws com.fasterxml.jackson.core.JsonProcessingException where it is none: says the line and the field
     */
    static RunReport read(InputStream in) throws IOException {
        try (JsonParser parser = mapper().createParser(in)) {
            RunReport report = parser.readValueAs(RunReport.class);
            if (report == null) {
                throw new JsonParseException(parser, "null, or nothing at all");
            }
            return report;
        }
    }
}
