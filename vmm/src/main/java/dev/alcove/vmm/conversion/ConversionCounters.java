// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.sys.ThreadCounts;

/** What conversions have done so far. Thread safe; vCPUs write to no common cache line. */
public final class ConversionCounters {
    private static final int TO_SHARED = 0;
    private static final int TO_PRIVATE = 1;
    private static final int BYTES = 2;
    private static final int FAILED = 3;
    private static final int NOT_FREED = 4;

    private final ThreadCounts counts = new ThreadCounts(NOT_FREED + 1);

    /** Conversions to shared that changed something. */
    public long toShared() {
        return counts.sum(TO_SHARED);
    }

    /** Conversions to private that changed something. */
    public long toPrivate() {
        return counts.sum(TO_PRIVATE);
    }

    /** Bytes that changed their state, in both directions together. */
    public long bytes() {
        return counts.sum(BYTES);
    }

    /** Conversions that were refused or went wrong. */
    public long failed() {
        return counts.sum(FAILED);
    }

    /** Bytes of converted pages whose old side the kernel did not want to free: they cost memory, nothing else. */
    public long notFreed() {
        return counts.sum(NOT_FREED);
    }

    void converted(boolean toPrivate, long bytes) {
        counts.add(toPrivate ? TO_PRIVATE : TO_SHARED, 1);
        counts.add(BYTES, bytes);
    }

    /** A conversion that was given up when it had changed some bytes. */
    void givenUp(long bytes) {
        counts.add(BYTES, bytes);
    }

    void conversionFailed() {
        counts.add(FAILED, 1);
    }

    void notFreed(long bytes) {
        counts.add(NOT_FREED, bytes);
    }
}
