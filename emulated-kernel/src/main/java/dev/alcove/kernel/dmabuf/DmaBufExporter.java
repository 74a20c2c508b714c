// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.dmabuf;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.sys.Errno;

/** What a dma-buf's memory is, for the file ({@code struct dma_buf_ops}). The defaults are those of an absent operation. */
public interface DmaBufExporter {
    /** The CPU is about to look (DMA_BUF_IOCTL_SYNC); 0 or a negated errno. */
    default int beginCpuAccess() {
        return 0;
    }

    /** The CPU has looked; 0 or a negated errno. */
    default int endCpuAccess() {
        return 0;
    }

    /**
     * Gives the buffer to somebody who maps it for devices, until {@link #detach}.
     *
     * @param revoke called when the exporter takes it back: on return nobody may reach it any more; it takes no lock of
     *     the exporter's
     * @return the number of its first frame; {@code -EOPNOTSUPP} not in one piece, or it cannot be taken back;
     *     {@code -ENODEV} it has been
     */
    default long attach(Runnable revoke) {
        return -Errno.EOPNOTSUPP;
    }

    /** Undoes {@link #attach}. */
    default void detach(Runnable revoke) {}

    /** mmap(2) of a range that lies in the buffer; page aligned. */
    default Mapping map(long offset, boolean shared) {
        return new Mapping.Refused(Errno.EINVAL);
    }

    /** Called once, when the buffer is gone. */
    default void release() {}
}
