// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/** Registers of a device that are mapped like memory (a PCI BAR). Called from any thread. */
public interface MmioRegion {
    /** Bytes. */
    long size();

    /**
     * Reads 1, 2, 4 or 8 bytes at an offset in the region.
     *
     * @return the value, zero extended; all ones when nothing answers
     */
    long read(long offset, int size);

    /** Writes 1, 2, 4 or 8 bytes. */
    void write(long offset, int size, long value);
}
