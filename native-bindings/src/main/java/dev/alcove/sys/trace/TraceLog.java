// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The file behind {@link TracingSyscalls}. Lines come out in the order of their places: a line waits in memory until
 * all before it are there. Thread safe; the monitor covers the queue and the output. A write error must not reach the
 * traced program: it ends the trace, and {@link #close} throws it.
 */
final class TraceLog implements AutoCloseable {
    /** A place in the order of the lines, filled once. */
    static final class Place {
        private byte @Nullable [] line;
    }

    private final OutputStream out;
    private final TreeJson json = new TreeJson();
    private final Deque<Place> waiting = new ArrayDeque<>();
    private @Nullable IOException failure;
    private Map<String, @Nullable Object> exit = Map.of();
    private long calls;
    private boolean open = true;

    TraceLog(OutputStream out, TraceHeader header) {
        this.out = out;
        put(json.line(header.tree()));
    }

    /** Takes the next place; {@link #write} fills it. */
    synchronized Place reserve() {
        Place place = new Place();
        if (open) {
            waiting.add(place);
        }
        return place;
    }

    /**
     * Writes a line.
     *
     * @param place of the line; null for the next one
     */
    void write(@Nullable Place place, Map<String, @Nullable Object> tree) {
        byte[] line = json.line(tree);
        synchronized (this) {
            Place own = place == null ? reserve() : place;
            own.line = line;
            Place first = waiting.peek();
            while (first != null && first.line != null) {
                put(first.line);
                calls++;
                waiting.remove();
                first = waiting.peek();
            }
        }
    }

    private void put(byte[] line) {
        if (!open || failure != null) {
            return;
        }
        try {
            out.write(line);
        } catch (IOException thrown) {
            failure = thrown;
        }
    }

    /** What the last line says about the end of the run. */
    synchronized void exit(Map<String, @Nullable Object> how) {
        exit = how;
    }

    @Override
    public synchronized void close() throws IOException {
        if (!open) {
            return;
        }
        Map<String, @Nullable Object> last = new LinkedHashMap<>();
        last.put("end", calls);
        last.putAll(exit);
        put(json.line(last));
        open = false;
        waiting.clear();
        try (out) {
            if (failure != null) {
                throw failure;
            }
        }
    }
}
