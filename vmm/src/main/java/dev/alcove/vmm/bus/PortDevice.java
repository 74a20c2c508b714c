// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

/** A device on the port bus. Called by any vCPU thread: a device guards its own state. */
public interface PortDevice {
    /**
     * Reads.
     *
     * @param offset from the device's first port
     * @param size 1, 2 or 4 bytes
     */
    int read(int offset, int size);

    /**
     * Writes.
     *
     * @param offset from the device's first port
     * @param size 1, 2 or 4 bytes; the bits of the value above them are zero
     */
    void write(int offset, int size, int value);
}
