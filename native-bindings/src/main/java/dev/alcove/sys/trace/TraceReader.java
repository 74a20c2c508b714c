// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads a trace, line by line as it comes. What is wrong with it is a {@link BadInputException} that names the trace
 * and the line.
 */
public final class TraceReader implements AutoCloseable {
    private static final int LONGEST_LINE = 16 << 20;

    private final InputStream in;
    private final String name;
    private final TreeJson json = new TreeJson();
    private final TraceHeader header;
    private byte[] buffer = new byte[4096];
    private int length;
    private long number;
    private long calls;

    /**
     * Reads the first line.
     *
     * @param in closed with this object
     * @param name for messages
     */
    public TraceReader(InputStream in, String name) {
        this.in = new BufferedInputStream(in, 1 << 16);
        this.name = name;
        if (!readLine()) {
            throw bad(length == 0 ? "is not a trace: it is empty" : "is not a trace: it has no whole line");
        }
        try {
            this.header = TraceHeader.of(json.parse(buffer, length));
        } catch (IOException e) {
            throw bad("is not a trace: line 1 is no JSON object");
        } catch (BadInputException e) {
            throw new BadInputException("'" + name + "': " + e.getMessage(), e.hint());
        }
    }

    /** Where it was recorded. */
    public TraceHeader header() {
        return header;
    }

    /** The next call, or null behind the last one, when the trace has been found whole. */
    @Nullable TraceLine next() {
        if (!readLine()) {
            throw new BadInputException(
                    "'" + name + "' is cut: it ends " + (length == 0 ? "after line " + number : "inside line " + (number + 1))
                            + " without its closing line",
                    "the run that was recorded did not end, or the file was not copied whole");
        }
        Map<String, @Nullable Object> tree;
        try {
            tree = json.parse(buffer, length);
        } catch (IOException e) {
            String message = String.valueOf(e.getMessage());
            throw bad(number, "broken JSON: " + message.lines().findFirst().orElse(""));
        }
        if (!tree.containsKey("end")) {
            calls++;
            return new TraceLine(number, tree);
        }
        long counted = Values.number(tree.get("end"), "end");
        if (counted != calls) {
            throw bad("is damaged: its closing line counts " + counted + " calls, there are " + calls);
        }
        if (readLine() || length > 0) {
            throw bad("is damaged: it goes on behind its closing line, line " + (number - 1));
        }
        return null;
    }

    /** The exception for a line that cannot be used. */
    BadInputException bad(long line, @Nullable String what) {
        return new BadInputException("'" + name + "' line " + line + ": " + what);
    }

    private BadInputException bad(String what) {
        return new BadInputException("'" + name + "' " + what);
    }

    /** Fills the buffer with a line; false at the end, with what is there of a line in the buffer. */
    private boolean readLine() {
        length = 0;
        try {
            while (true) {
                int b = in.read();
                if (b < 0) {
                    return false;
                }
                if (b == '\n') {
                    number++;
                    return true;
                }
                if (length == LONGEST_LINE) {
                    throw bad(number + 1, "longer than " + LONGEST_LINE + " bytes");
                }
                if (length == buffer.length) {
                    buffer = Arrays.copyOf(buffer, 2 * length);
                }
                buffer[length++] = (byte) b;
            }
        } catch (IOException e) {
            throw bad("cannot be read: " + e.getMessage());
        }
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
