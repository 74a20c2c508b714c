// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

/**
 * One function on the PCI bus: 256 bytes of configuration space. Called by any vCPU thread: a function guards its
 * own state.
 */
public interface PciFunction {
    int CONFIG_BYTES = 256;

    /**
     * Reads configuration space.
     *
     * @param offset below 256, aligned to the size
     * @param size 1, 2 or 4 bytes
     */
    int readConfig(int offset, int size);

    /**
     * Writes configuration space.
     *
     * @param offset below 256, aligned to the size
     * @param size 1, 2 or 4 bytes; the bits of the value above them are zero
     */
    void writeConfig(int offset, int size, int value);
}
