// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.report;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.StringWriter;
import java.util.HashMap;
import java.util.Map;

/**
 * One test on one kernel; a line of JSON in a file of results.
 *
 * @param test class and method, with the arguments behind the kernel if it has any
 * @param surface the part of the interface that it is about
 * @param kernel as {@link dev.alcove.contract.KernelUnderTest} names it
 * @param reason of a skip or a failure in one line; empty otherwise
 */
record TestResult(String test, String surface, String kernel, Outcome outcome, String reason) {
    enum Outcome {
        PASS,
        FAIL,
        SKIP
    }

    private static final JsonFactory JSON = new JsonFactory();

    String toJson() {
        StringWriter line = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(line)) {
            json.writeStartObject();
            json.writeStringField("test", test);
            json.writeStringField("surface", surface);
            json.writeStringField("kernel", kernel);
            json.writeStringField("outcome", outcome.name());
            json.writeStringField("reason", reason);
            json.writeEndObject();
        } catch (IOException e) {
            throw new AssertionError("nothing can fail in memory", e);
        }
        return line.toString();
    }

    /** @throws IOException if the line is not one of {@link #toJson} */
    static TestResult fromJson(String line) throws IOException {
        Map<String, String> fields = new HashMap<>();
        try (JsonParser json = JSON.createParser(line)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                fields.put(name, String.valueOf(json.nextTextValue()));
            }
        }
        try {
            return new TestResult(field(fields, "test"), field(fields, "surface"), field(fields, "kernel"),
                    Outcome.valueOf(field(fields, "outcome")), field(fields, "reason"));
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private static String field(Map<String, String> fields, String name) {
        String value = fields.get(name);
        if (value == null) {
            throw new IllegalArgumentException("no field " + name);
        }
        return value;
    }
}
