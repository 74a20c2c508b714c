// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.dmabuf;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/** The memory of a udmabuf: frames that it has pinned, in the order of its pages. Lock: the monitor, for the sync only. */
final class PinnedFrames implements DmaBufExporter {
    private final PhysicalMemory memory;
    private final long[] frames;
    private int count;
    private @Nullable PageStore store;
    private boolean begun;

    PinnedFrames(PhysicalMemory memory, int pages) {
        this.memory = memory;
        this.frames = new long[pages];
    }

    /** Takes over a pin. */
    void add(long frame) {
        frames[count++] = frame;
    }

    /** Makes the pages visible to {@link #map}, now that they are complete. */
    PinnedFrames show() {
        store = PageStore.ofFrames(memory, frames);
        return this;
    }

    @Override
    public synchronized int beginCpuAccess() {
        begun = true;
        return 0;
    }

    /** As Linux has it, one begin is enough for any number of ends. */
    @Override
    public synchronized int endCpuAccess() {
        return begun ? 0 : -Errno.EINVAL;
    }

    @Override
    public Mapping map(long offset, boolean shared) {
        PageStore pages = store;
        return shared && pages != null
                ? new Mapping.Pages(pages, offset >>> Linux.PAGE_SHIFT)
                : new Mapping.Refused(Errno.EINVAL);
    }

    @Override
    public void release() {
        if (store != null) {
            store.close();
        }
        for (int i = 0; i < count; i++) {
            memory.unpin(frames[i]);
        }
    }
}
