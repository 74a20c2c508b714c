// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.dmabuf.DmaBufExporter;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;

/**
 * Memory that plays device registers behind a dma-buf.
 *
 * <p>Lock: its monitor ({@code dma_resv}), above the mutexes of iommufd's pages.
 */
final class TestDmaBuf implements DmaBufExporter {
    private final PhysicalMemory memory;
    private final long firstFrame;
    private final long pages;
    private final List<Runnable> importers = new ArrayList<>();
    private boolean revoked;

    /** @param firstFrame of frames that are taken over */
    TestDmaBuf(PhysicalMemory memory, long firstFrame, long pages) {
        this.memory = memory;
        this.firstFrame = firstFrame;
        this.pages = pages;
    }

    @Override
    public synchronized long attach(Runnable revoke) {
        if (revoked) {
            return -Errno.ENODEV;
        }
        importers.add(revoke);
        return firstFrame;
    }

    @Override
    public synchronized void detach(Runnable revoke) {
        importers.remove(revoke);
    }

    /** Takes the memory back from all who have it, for good or not. */
    synchronized void revoke(boolean forGood) {
        revoked = forGood;
        importers.forEach(Runnable::run);
    }

    @Override
    public void release() {
        memory.put(firstFrame, pages);
    }
}
