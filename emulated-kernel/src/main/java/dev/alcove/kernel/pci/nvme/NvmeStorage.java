// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** What a namespace keeps its blocks in. Bytes that were never written are zero. Used by one thread at a time. */
public interface NvmeStorage extends AutoCloseable {
    /** Bytes. */
    long size();

    /** Reads from an offset in the storage. */
    void read(long offset, MemorySegment into) throws IOException;

    /** Writes at an offset in the storage. */
    void write(long offset, MemorySegment from) throws IOException;

    /** Makes bytes zero. */
    void clear(long offset, long length) throws IOException;

    /** Makes what was written durable. */
    void flush() throws IOException;

    @Override
    void close() throws IOException;
}
