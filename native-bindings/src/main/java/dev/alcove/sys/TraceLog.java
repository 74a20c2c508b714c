// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The file behind {@link TracingSyscalls}: one JSON object in a line for each call, buffered. The lock of this object
 * covers the writer. A write error must not reach the traced program: it ends the trace, and {@link #close} throws it.
 */
final class TraceLog implements AutoCloseable {
    /** What a call adds to its line. */
    @FunctionalInterface
    interface Details {
        void write(Line line) throws IOException;
    }

    private final JsonGenerator json;
    private final Line line;
    private final long epoch = System.nanoTime();
    private @Nullable IOException failure;
    private boolean open = true;

    TraceLog(OutputStream out) {
        try {
            this.json = new JsonFactory().createGenerator(out);
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        json.setPrettyPrinter(new MinimalPrettyPrinter("\n"));
        this.line = new Line(json);
    }

    /**
     * Writes one call.
     *
     * @param start when it began, as System.nanoTime()
     * @param end when it came back
     * @param answer of the call
     */
    synchronized void write(String call, long start, long end, long answer, Details details) {
        if (!open || failure != null) {
            return;
        }
        try {
            json.writeStartObject();
            json.writeNumberField("at", start - epoch);
            json.writeStringField("thread", Thread.currentThread().getName());
            json.writeStringField("call", call);
            details.write(line);
            json.writeNumberField("answer", answer);
            if (Linux.isError(answer)) {
                json.writeStringField("errno", Errno.name(answer));
            }
            json.writeNumberField("nanos", end - start);
            json.writeEndObject();
        } catch (IOException thrown) {
            failure = thrown;
        }
    }

    @Override
    public synchronized void close() throws IOException {
        if (!open) {
            return;
        }
        open = false;
        if (failure != null) {
            throw failure;
        }
        json.writeRaw('\n');
        json.close();
    }

    /** The fields of the line that is being written. */
    static final class Line {
        private final JsonGenerator json;

        private Line(JsonGenerator json) {
            this.json = json;
        }

        Line number(String name, long value) throws IOException {
            json.writeNumberField(name, value);
            return this;
        }

        Line address(String name, long value) throws IOException {
            json.writeStringField(name, "0x" + Long.toHexString(value));
            return this;
        }

        Line text(String name, String value) throws IOException {
            json.writeStringField(name, value);
            return this;
        }

        Line segment(String name, @Nullable MemorySegment memory) throws IOException {
            json.writeFieldName(name);
            if (memory == null || memory.address() == 0) {
                json.writeNull();
            } else {
                StructJson.bytes(json, memory);
            }
            return this;
        }

        Line struct(String name, MemorySegment memory, @Nullable GroupLayout layout) throws IOException {
            if (layout == null) {
                return segment(name, memory);
            }
            json.writeFieldName(name);
            StructJson.write(json, memory, layout);
            return this;
        }
    }
}
