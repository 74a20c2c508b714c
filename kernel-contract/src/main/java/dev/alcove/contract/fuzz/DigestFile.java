// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.MinimalPrettyPrinter;
import dev.alcove.sys.BadInputException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Files of {@link Digest}s: one JSON object a line, complete by itself, so that files can be cut and put together. */
public final class DigestFile implements AutoCloseable {
    /** How each line starts. */
    private static final String START = "{\"format\":\"alcove-fuzz-digest\"";

    private static final String FORMAT = "alcove-fuzz-digest";
    private static final JsonFactory JSON = new JsonFactory();

    private final JsonGenerator json;

    /** @param out is closed with the writer */
    public DigestFile(OutputStream out) throws IOException {
        json = JSON.createGenerator(out);
        json.setPrettyPrinter(new MinimalPrettyPrinter(""));
    }

    /** Adds one; it is in the file when this returns. */
    public void write(Digest digest) throws IOException {
        Header header = digest.header();
        json.writeStartObject();
        json.writeStringField("format", FORMAT);
        json.writeNumberField("version", Header.VERSION);
        json.writeStringField("surface", header.surface());
        json.writeNumberField("seed", header.seed());
        json.writeNumberField("ops", header.ops());
        json.writeStringField("kernel", header.kernel());
        json.writeStringField("release", header.release());
        json.writeArrayFieldStart("hashes");
        for (long hash : digest.hashes()) {
            json.writeNumber(hash);
        }
        json.writeEndArray();
        json.writeEndObject();
        json.writeRaw('\n');
        json.flush();
    }

    @Override
    public void close() throws IOException {
        json.close();
    }

    /** Whether a file is one of digests, by its first line; one that cannot be read is not. */
    public static boolean is(Path file) {
        byte[] start = new byte[START.length()];
        try (InputStream in = Files.newInputStream(file)) {
            int length = in.readNBytes(start, 0, start.length);
            return new String(start, 0, length, StandardCharsets.ISO_8859_1).equals(START);
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * Reads a file.
     *
     * @throws BadInputException when it cannot be read, or a line is no digest of this version or cut
     */
    public static List<Digest> read(Path file) {
        List<Digest> digests = new ArrayList<>();
        try (BufferedReader reader = Files.newBufferedReader(file)) {
            for (String line; (line = reader.readLine()) != null; ) {
                digests.add(digest(file, digests.size() + 1, line));
            }
        } catch (IOException e) {
            throw new BadInputException("'" + file + "' cannot be read: " + e);
        }
        return digests;
    }

    private static Digest digest(Path file, int line, String text) throws IOException {
        try (JsonParser json = JSON.createParser(text)) {
            if (json.nextToken() == JsonToken.START_OBJECT
                    && FORMAT.equals(text(json, "format"))
                    && number(json, "version") == Header.VERSION) {
                Header header = new Header(
                        text(json, "surface"), number(json, "seed"), number(json, "ops"), text(json, "kernel"),
                        text(json, "release"));
                List<Long> hashes = new ArrayList<>();
                if ("hashes".equals(json.nextFieldName()) && json.nextToken() == JsonToken.START_ARRAY) {
                    while (json.nextToken() == JsonToken.VALUE_NUMBER_INT) {
                        hashes.add(json.getLongValue());
                    }
                    if (hashes.size() == Digest.hashesOf(header.ops()) && json.nextToken() == JsonToken.END_OBJECT) {
                        return new Digest(header, hashes);
                    }
                }
            }
        } catch (JsonProcessingException e) {
            throw new BadInputException("'" + file + "', line " + line + ": cut, or no digest: " + e.getOriginalMessage());
        }
        throw new BadInputException("'" + file + "', line " + line + ": cut, or no digest of version " + Header.VERSION);
    }

    private static String text(JsonParser json, String field) throws IOException {
        String value = field.equals(json.nextFieldName()) ? json.nextTextValue() : null;
        return value == null ? "" : value;
    }

    private static long number(JsonParser json, String field) throws IOException {
        return field.equals(json.nextFieldName()) && json.nextToken() == JsonToken.VALUE_NUMBER_INT
                ? json.getLongValue()
                : -1;
    }
}
