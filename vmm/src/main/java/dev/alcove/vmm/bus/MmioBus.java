// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

/**
 * Guest physical memory that no memslot backs. Where no device answers, a read gives all ones and a write is lost.
 *
 * <p>Lookups take no lock. Devices come and go while vCPUs run, as the guest moves BARs; an access that runs at
 * that moment may still reach the device at its old place.
 */
public final class MmioBus {
    private volatile RangeTable<MmioDevice> devices = new RangeTable<>();

    /**
     * Puts a device on the bus.
     *
     * @return whether the range was free; if not, nothing has changed
     */
    public synchronized boolean add(long address, long size, MmioDevice device) {
        RangeTable<MmioDevice> grown = devices.with(address, size, device);
        if (grown == null) {
            return false;
        }
        devices = grown;
        return true;
    }

    /** Takes a device off the bus; one that is not on it is no error. */
    public synchronized void remove(MmioDevice device) {
        devices = devices.without(device);
    }

    /** Reads 1 to 8 bytes. */
    public long read(long address, int size) {
        RangeTable<MmioDevice> table = devices;
        int index = table.find(address, size);
        return (index < 0 ? -1 : table.owner(index).read(address - table.start(index), size)) & mask(size);
    }

    /** Writes 1 to 8 bytes. */
    public void write(long address, int size, long value) {
        RangeTable<MmioDevice> table = devices;
        int index = table.find(address, size);
        if (index >= 0) {
            table.owner(index).write(address - table.start(index), size, value & mask(size));
        }
    }

    private static long mask(int size) {
        return size >= 8 ? -1 : (1L << (8 * size)) - 1;
    }
}
