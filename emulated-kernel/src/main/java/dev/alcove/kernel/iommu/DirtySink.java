// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** Receives what DMA has written to. */
@FunctionalInterface
public interface DirtySink {
    /**
     * The next page that is dirty.
     *
     * @param iova first byte of it that was asked for
     * @param length bytes, which may be more than were asked for, or 0, as Linux has it
     */
    void accept(long iova, long length);
}
