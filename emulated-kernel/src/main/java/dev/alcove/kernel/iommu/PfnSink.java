// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** Receives what an unmap took out. */
@FunctionalInterface
public interface PfnSink {
    /**
     * The next run of frames.
     *
     * @param iova first byte
     * @param pfn first frame
     * @param pages length; the frames are contiguous
     */
    void accept(long iova, long pfn, long pages);
}
