// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

/** A device on the MMIO bus. Called by any vCPU thread: a device guards its own state. */
public interface MmioDevice {
    /**
     * Reads.
     *
     * @param offset from the start of the device's range
     * @param size 1 to 8 bytes, not always a power of two, not always aligned
     */
    long read(long offset, int size);

    /**
     * Writes.
     *
     * @param offset from the start of the device's range
     * @param size 1 to 8 bytes; the bits of the value above them are zero
     */
    void write(long offset, int size, long value);
}
