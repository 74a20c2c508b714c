// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.concurrent.atomic.LongAdder;

/** What devices transferred. A transfer is one read or write of a device model, of any length. Thread safe. */
public final class DmaCounters {
    private final LongAdder completed = new LongAdder();
    private final LongAdder blocked = new LongAdder();
    private final LongAdder bytesRead = new LongAdder();
    private final LongAdder bytesWritten = new LongAdder();
    private final LongAdder shared = new LongAdder();
    private final LongAdder privates = new LongAdder();
    private final LongAdder freed = new LongAdder();
    private final LongAdder holes = new LongAdder();
    private final LongAdder registers = new LongAdder();

    /** Transfers that reached memory with every byte. */
    public long completed() {
        return completed.sum();
    }

    /** Transfers of which at least one page was refused. */
    public long blocked() {
        return blocked.sum();
    }

    /** Bytes that devices read from memory. */
    public long bytesRead() {
        return bytesRead.sum();
    }

    /** Bytes that devices wrote to memory. */
    public long bytesWritten() {
        return bytesWritten.sum();
    }

    /** Pages, or parts of one, that hit what is said. */
    public long pages(FrameState state) {
        return counter(state).sum();
    }

    void count(FrameState state) {
        counter(state).increment();
    }

    private LongAdder counter(FrameState state) {
        return switch (state) {
            case SHARED -> shared;
            case PRIVATE -> privates;
            case FREED -> freed;
            case HOLE -> holes;
            case REGISTERS -> registers;
        };
    }

    void count(boolean whole, boolean write, long bytes) {
        (whole ? completed : blocked).increment();
        (write ? bytesWritten : bytesRead).add(bytes);
    }
}
