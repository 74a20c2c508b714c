// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import dev.alcove.sys.BadInputException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads a recording that {@link RecordingWriter} has written; anything else is bad input. */
public final class RecordingReader {
    private static final JsonFactory JSON = new JsonFactory();
    private static final int MOST_STEPS = 10_000_000;

    private final String name;
    private final JsonParser json;

    private RecordingReader(String name, JsonParser json) {
        this.name = name;
        this.json = json;
    }

    /**
     * Reads a file.
     *
     * @throws BadInputException when it cannot be read, is cut, or is no recording of this version
     */
    public static Recording read(Path file) {
        try (InputStream in = Files.newInputStream(file)) {
            return read(file.toString(), in);
        } catch (IOException e) {
            throw new BadInputException("'" + file + "' cannot be read: " + e);
        }
    }

    /**
     * Reads a stream to its end.
     *
     * @param name of the stream, for messages
     * @throws BadInputException as {@link #read(Path)}
     */
    public static Recording read(String name, InputStream in) throws IOException {
        try (JsonParser json = JSON.createParser(in)) {
            return new RecordingReader(name, json).recording();
        } catch (JsonProcessingException e) {
            throw new BadInputException(
                    "'" + name + "' is cut or no recording: line " + e.getLocation().getLineNr() + ": "
                            + e.getOriginalMessage());
        }
    }

    private BadInputException bad(String what) {
        return new BadInputException(
                "'" + name + "', line " + json.currentLocation().getLineNr() + ": " + what);
    }

    private Recording recording() throws IOException {
        Header header = header();
        List<Recording.Step> steps = new ArrayList<>();
        while (true) {
            if (json.nextToken() == null) {
                throw new BadInputException("'" + name + "' is cut: it ends after " + steps.size() + " of "
                        + header.ops() + " ops, without a last line");
            }
            expect(json.currentToken(), JsonToken.START_OBJECT);
            String first = json.nextFieldName();
            if ("end".equals(first)) {
                end(header, steps.size());
                return new Recording(header, steps);
            }
            if (!"index".equals(first) || number() != steps.size() || steps.size() == MOST_STEPS) {
                throw bad("op " + steps.size() + " is missing");
            }
            steps.add(step());
        }
    }

    private Header header() throws IOException {
        if (json.nextToken() != JsonToken.START_OBJECT
                || !"format".equals(json.nextFieldName())
                || !Header.FORMAT.equals(json.nextTextValue())) {
            throw new BadInputException("'" + name + "' is no recording of 'alcove fuzz'");
        }
        field("version");
        long version = number();
        if (version != Header.VERSION) {
            throw new BadInputException(
                    "'" + name + "' has version " + version + "; this program reads version " + Header.VERSION);
        }
        field("surface");
        String surface = text();
        field("seed");
        long seed = number();
        field("ops");
        long ops = number();
        field("kernel");
        String kernel = text();
        field("release");
        String release = text();
        expect(json.nextToken(), JsonToken.END_OBJECT);
        return new Header(surface, seed, ops, kernel, release);
    }

    /** The rest of a line, behind its index. */
    private Recording.Step step() throws IOException {
        field("op");
        String op = text();
        field("operands");
        expect(json.nextToken(), JsonToken.START_ARRAY);
        List<Long> operands = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) {
            operands.add(current());
        }
        field("values");
        expect(json.nextToken(), JsonToken.START_OBJECT);
        Map<String, Long> values = new LinkedHashMap<>();
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String value = json.currentName();
            values.put(value, number());
        }
        expect(json.nextToken(), JsonToken.END_OBJECT);
        return new Recording.Step(new Op(op, operands), Answer.of(values));
    }

    private void end(Header header, int steps) throws IOException {
        long count = number();
        if (count != steps || count != header.ops()) {
            throw bad("the header announces " + header.ops() + " ops, the last line " + count + ", and there are "
                    + steps);
        }
        expect(json.nextToken(), JsonToken.END_OBJECT);
        if (json.nextToken() != null) {
            throw bad("there is something behind the last line");
        }
    }

    private void field(String wanted) throws IOException {
        if (!wanted.equals(json.nextFieldName())) {
            throw bad("'" + wanted + "' is missing");
        }
    }

    private String text() throws IOException {
        String text = json.nextTextValue();
        if (text == null) {
            throw bad("a text is missing");
        }
        return text;
    }

    private long number() throws IOException {
        json.nextToken();
        return current();
    }

    private long current() throws IOException {
        expect(json.currentToken(), JsonToken.VALUE_NUMBER_INT);
        return json.getLongValue();
    }

    private void expect(JsonToken found, JsonToken wanted) {
        if (found != wanted) {
            throw bad("not what a recording has there");
        }
    }
}
