// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * Tells a person about refused conversions: each reason once, and not more than some lines a second, whatever the guest
 * does. The monitor protects everything; only refusals take it.
 */
final class RefusalLog {
    /** Reasons that are remembered. */
    private static final int KEPT = 256;

    private static final int LINES_A_SECOND = 8;
    private static final long SECOND = 1_000_000_000L;

    private final Consumer<String> lines;
    private final LongSupplier nanoTime;
    private final Map<String, Boolean> seen = new LinkedHashMap<>();
    private long second;
    private int written;
    private long suppressed;

    RefusalLog(Consumer<String> lines, LongSupplier nanoTime) {
        this.lines = lines;
        this.nanoTime = nanoTime;
        this.second = nanoTime.getAsLong();
    }

    synchronized void refused(String reason) {
        if (seen.containsKey(reason)) {
            return;
        }
        long now = nanoTime.getAsLong();
        if (now - second >= SECOND) {
            second = now;
            written = 0;
        }
        if (written == LINES_A_SECOND) {
            suppressed++;
            return;
        }
        if (seen.size() == KEPT) {
            seen.remove(seen.keySet().iterator().next());
        }
        seen.put(reason, true);
        written++;
        String more = suppressed == 0 ? "" : " (and " + suppressed + " more refusals before it)";
        suppressed = 0;
        lines.accept("conversion refused: " + reason + more);
    }
}
