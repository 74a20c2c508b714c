// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

/** Receives what an unmap took out. */
@FunctionalInterface
public interface UnmapSink {
    /**
     * The next page of the table.
     *
     * @param iova first byte
     * @param address where it pointed to
     * @param length bytes
     */
    void accept(long iova, long address, long length);
}
