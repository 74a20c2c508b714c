// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.LongAdder;

/** A namespace of blocks of 512 bytes, and what was done with it. The controller's engine uses it. */
final class NvmeNamespace {
    static final int BLOCK_SHIFT = 9;
    static final int BLOCK_SIZE = 1 << BLOCK_SHIFT;

    private final NvmeStorage storage;
    private final long blocks;
    private final LongAdder bytesRead = new LongAdder();
    private final LongAdder bytesWritten = new LongAdder();
    private final LongAdder reads = new LongAdder();
    private final LongAdder writes = new LongAdder();

    NvmeNamespace(NvmeStorage storage) {
        this.storage = storage;
        this.blocks = storage.size() >>> BLOCK_SHIFT;
    }

    long blocks() {
        return blocks;
    }

    boolean contains(long first, long count) {
        return first >= 0 && count <= blocks && first <= blocks - count;
    }

    void read(long block, MemorySegment into) throws IOException {
        storage.read(block << BLOCK_SHIFT, into);
        reads.increment();
        bytesRead.add(into.byteSize());
    }

    void write(long block, MemorySegment from) throws IOException {
        storage.write(block << BLOCK_SHIFT, from);
        writes.increment();
        bytesWritten.add(from.byteSize());
    }

    void clear(long block, long count) throws IOException {
        storage.clear(block << BLOCK_SHIFT, count << BLOCK_SHIFT);
    }

    void flush() throws IOException {
        storage.flush();
    }

    void close() throws IOException {
        storage.close();
    }

    /** Thousands of units of 512 bytes, rounded up, as the health log counts. */
    long unitsRead() {
        return units(bytesRead.sum());
    }

    long unitsWritten() {
        return units(bytesWritten.sum());
    }

    long reads() {
        return reads.sum();
    }

    long writes() {
        return writes.sum();
    }

    private static long units(long bytes) {
        return ((bytes >>> BLOCK_SHIFT) + 999) / 1000;
    }
}
