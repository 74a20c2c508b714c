// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import java.io.IOException;
import java.io.OutputStream;

/** Writes a recording as JSON lines, while it is made. */
public final class RecordingWriter implements AutoCloseable {
    private static final JsonFactory JSON = new JsonFactory();

    private final JsonGenerator json;
    private long count;

    /** @param out is closed with the writer */
    public RecordingWriter(OutputStream out, Header header) throws IOException {
        json = JSON.createGenerator(out);
        json.setPrettyPrinter(new MinimalPrettyPrinter("\n"));
        json.writeStartObject();
        json.writeStringField("format", Header.FORMAT);
        json.writeNumberField("version", Header.VERSION);
        json.writeStringField("surface", header.surface());
        json.writeNumberField("seed", header.seed());
        json.writeNumberField("ops", header.ops());
        json.writeStringField("kernel", header.kernel());
        json.writeStringField("release", header.release());
        json.writeEndObject();
    }

    /** Writes the next line. */
    public void write(Op op, Answer answer) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", count++);
        json.writeStringField("op", op.name());
        json.writeArrayFieldStart("operands");
        for (long operand : op.operands()) {
            json.writeNumber(operand);
        }
        json.writeEndArray();
        json.writeObjectFieldStart("values");
        for (int i = 0; i < answer.size(); i++) {
            json.writeNumberField(answer.name(i), answer.value(i));
        }
        json.writeEndObject();
        json.writeEndObject();
    }

    /** Writes the last line: the recording is whole. Without it {@link #close} leaves a cut one. */
    public void end() throws IOException {
        json.writeStartObject();
        json.writeNumberField("end", count);
        json.writeEndObject();
        json.writeRaw('\n');
    }

    @Override
    public void close() throws IOException {
        json.close();
    }
}
