// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** Receives what DMA has written to. */
@FunctionalInterface
public interface DirtySink {
    /**
     * The next piece of a page that is dirty: as much of it as was asked for.
     *
     * @param iova first byte
     * @param length bytes
     */
    void accept(long iova, long length);
}
