// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.regex.Pattern;

/**
 * Tells a person about refused conversions: each reason when it first comes, and not more than some lines a second,
 * whatever the guest does. Reasons that differ in numbers only are the same. The monitor protects everything; only
 * refusals take it.
 */
final class RefusalLog {
    /** Reasons that are told apart; the texts of a kernel's errors are finite, but nobody has counted them. */
    private static final int MOST_REASONS = 256;

    private static final int LINES_A_SECOND = 8;
    private static final long SECOND = 1_000_000_000L;
    private static final Pattern NUMBER = Pattern.compile("0x[0-9a-f]+|[0-9]+");

    private final Consumer<String> lines;
    private final LongSupplier nanoTime;
    private final Set<String> told = new HashSet<>();
    private long second;
    private int written;

    RefusalLog(Consumer<String> lines, LongSupplier nanoTime) {
        this.lines = lines;
        this.nanoTime = nanoTime;
        this.second = nanoTime.getAsLong();
    }

    void refused(String reason) {
        String kind = NUMBER.matcher(reason).replaceAll("#");
        if (mayTell(kind)) {
            lines.accept("conversion refused: " + reason + " (the guest got the error; told once)");
        }
    }

    private synchronized boolean mayTell(String kind) {
        if (told.contains(kind) || told.size() == MOST_REASONS) {
            return false;
        }
        long now = nanoTime.getAsLong();
        if (now - second >= SECOND) {
            second = now;
            written = 0;
        }
        if (written == LINES_A_SECOND) {
            return false;
        }
        told.add(kind);
        written++;
        return true;
    }
}
