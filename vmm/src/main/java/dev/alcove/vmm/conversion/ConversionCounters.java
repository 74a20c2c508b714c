// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import java.util.concurrent.atomic.LongAdder;

/** What conversions have done so far. Thread safe. */
public final class ConversionCounters {
    final LongAdder toShared = new LongAdder();
    final LongAdder toPrivate = new LongAdder();
    final LongAdder bytes = new LongAdder();
    final LongAdder failed = new LongAdder();
    final LongAdder notFreed = new LongAdder();

    /** Conversions to shared that changed something. */
    public long toShared() {
        return toShared.sum();
    }

    /** Conversions to private that changed something. */
    public long toPrivate() {
        return toPrivate.sum();
    }

    /** Bytes that changed their state, in both directions together. */
    public long bytes() {
        return bytes.sum();
    }

    /** Conversions that were refused or went wrong. */
    public long failed() {
        return failed.sum();
    }

    /** Bytes of converted pages whose old side the kernel did not want to free: they cost memory, nothing else. */
    public long notFreed() {
        return notFreed.sum();
    }
}
