// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.dmabuf.DmaBufFile;
import dev.alcove.sys.Linux;

/** Pages of a dma-buf of device registers. They belong to nobody's memory, so nothing is pinned and nobody is charged. */
final class DmaBufSource implements PageSource {
    private final DmaBufFile buffer;
    private final long start;
    private final Runnable revoke;
    private long firstFrame;

    /**
     * @param buffer whose reference has been taken
     * @param start byte offset as the caller gave it
     * @param revoke what the exporter calls when it takes the registers back
     */
    DmaBufSource(DmaBufFile buffer, long start, Runnable revoke) {
        this.buffer = buffer;
        this.start = start;
        this.revoke = revoke;
    }

    /** Attaches to the buffer: 0, {@code -EOPNOTSUPP} or {@code -ENODEV}; without it {@link #close} must not be called. */
    int attach() {
        long frame = buffer.attach(revoke);
        if (frame < 0) {
            return (int) frame;
        }
        firstFrame = frame + (start >>> Linux.PAGE_SHIFT);
        return 0;
    }

    @Override
    public int pin(long index, int count, boolean write, long[] frames) {
        for (int i = 0; i < count; i++) {
            frames[i] = firstFrame + index + i;
        }
        return count;
    }

    @Override
    public void unpin(long pfn, long count) {}

    @Override
    public long address() {
        return start;
    }

    @Override
    public void close() {
        buffer.detach(revoke);
        buffer.put();
    }
}
