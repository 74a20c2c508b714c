// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.dmabuf.DmaBufExporter;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Registers as a dma-buf. They can be taken back from those who have them mapped, and given again, but not to the same.
 *
 * <p>Lock: its monitor ({@code dma_resv}), above the mutexes of iommufd's pages.
 */
final class VfioDmaBuf implements DmaBufExporter {
    private final long[] firstFrames;
    private final Consumer<VfioDmaBuf> released;
    private final List<Runnable> importers = new ArrayList<>();
    private boolean revoked;

    /**
     * @param firstFrames of each range
     * @param revoked whether nobody can have them yet
     * @param released told when the buffer is gone
     */
    VfioDmaBuf(long[] firstFrames, boolean revoked, Consumer<VfioDmaBuf> released) {
        this.firstFrames = firstFrames;
        this.revoked = revoked;
        this.released = released;
    }

    @Override
    public synchronized long attach(Runnable revoke) {
        if (revoked) {
            return -Errno.ENODEV;
        }
        if (firstFrames.length != 1) {
            return -Errno.EOPNOTSUPP;
        }
        importers.add(revoke);
        return firstFrames[0];
    }

    @Override
    public synchronized void detach(Runnable revoke) {
        importers.remove(revoke);
    }

    /** Takes the registers back from everybody, or lets others have them. */
    synchronized void move(boolean revoke) {
        revoked = revoke;
        if (revoke) {
            importers.forEach(Runnable::run);
        }
    }

    @Override
    public void release() {
        released.accept(this);
    }
}
