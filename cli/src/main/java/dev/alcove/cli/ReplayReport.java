// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.alcove.sys.trace.Difference;
import dev.alcove.sys.trace.ReplayResult;
import dev.alcove.sys.trace.TraceHeader;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;

/** Prints a replay: differences as they are found, the sums at the end. */
abstract sealed class ReplayReport {
    protected final PrintWriter out;
    private final long limit;
    private long seen;

    /** @param limit so many differences are printed */
    private ReplayReport(PrintWriter out, long limit) {
        this.out = out;
        this.limit = limit;
    }

    void difference(Difference difference) {
        if (seen++ < limit) {
            print(difference);
            out.flush();
        }
    }

    abstract void print(Difference difference);

    /** @param where the calls were made again */
    abstract void end(TraceHeader recorded, String where, ReplayResult result);

    /** How many differences were not printed. */
    protected long silent() {
        return Math.max(0, seen - limit);
    }

    /** For people. */
    static final class Text extends ReplayReport {
        Text(PrintWriter out, long limit) {
            super(out, limit);
        }

        @Override
        void print(Difference difference) {
            out.println(difference);
        }

        @Override
        void end(TraceHeader recorded, String where, ReplayResult result) {
            if (silent() > 0) {
                out.println("and " + silent() + " more (--limit)");
            }
            out.println(result.calls() + " calls of " + recorded.kernel() + " " + recorded.release() + " on " + where + ": "
                    + result.compared() + " compared, " + result.givenBack() + " given back"
                    + (result.skipped() == 0 ? "" : ", " + result.skipped() + " not possible after a difference") + "; "
                    + (result.differences() == 1 ? "1 difference" : result.differences() + " differences"));
        }
    }

    /** For programs: one object in a line. */
    static final class Json extends ReplayReport {
        private final JsonFactory factory = new JsonFactory();

        Json(PrintWriter out, long limit) {
            super(out, limit);
        }

        @FunctionalInterface
        private interface Fields {
            void write(JsonGenerator json) throws IOException;
        }

        private void line(Fields fields) {
            StringWriter text = new StringWriter();
            try (JsonGenerator json = factory.createGenerator(text)) {
                json.writeStartObject();
                fields.write(json);
                json.writeEndObject();
            } catch (IOException impossible) {
                throw new UncheckedIOException(impossible);
            }
            out.println(text);
        }

        @Override
        void print(Difference difference) {
            line(json -> {
                json.writeNumberField("line", difference.line());
                json.writeStringField("call", difference.call());
                json.writeStringField("file", difference.file());
                json.writeStringField("field", difference.field());
                json.writeStringField("recorded", difference.recorded());
                json.writeStringField("replayed", difference.replayed());
            });
        }

        @Override
        void end(TraceHeader recorded, String where, ReplayResult result) {
            line(json -> {
                json.writeStringField("recordedOn", recorded.kernel() + " " + recorded.release());
                json.writeStringField("replayedOn", where);
                json.writeNumberField("calls", result.calls());
                json.writeNumberField("compared", result.compared());
                json.writeNumberField("givenBack", result.givenBack());
                json.writeNumberField("skipped", result.skipped());
                json.writeNumberField("differences", result.differences());
            });
        }
    }
}
