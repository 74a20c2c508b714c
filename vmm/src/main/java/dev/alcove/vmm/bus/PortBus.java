// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

/**
 * The 64 Ki I/O ports. Where no device answers, a read gives all ones and a write is lost, as on a PC.
 *
 * <p>Lookups take no lock; adding does, and is meant for the time before the vCPUs run.
 */
public final class PortBus {
    private static final int PORTS = 0x1_0000;

    private volatile RangeTable<PortDevice> devices = new RangeTable<>();

    /**
     * Puts a device on the bus.
     *
     * @param first its first port
     * @param count its number of ports
     */
    public synchronized void add(int first, int count, PortDevice device) {
        RangeTable<PortDevice> grown = first + count > PORTS ? null : devices.with(first, count, device);
        if (grown == null) {
            throw new IllegalArgumentException(
                    "ports 0x" + Integer.toHexString(first) + "+" + count + " are taken or do not exist");
        }
        devices = grown;
    }

    /** Reads 1, 2 or 4 bytes. */
    public int read(int port, int size) {
        RangeTable<PortDevice> table = devices;
        int index = table.find(port, size);
        int mask = mask(size);
        return index < 0 ? mask : table.owner(index).read((int) (port - table.start(index)), size) & mask;
    }

    /** Writes 1, 2 or 4 bytes. */
    public void write(int port, int size, int value) {
        RangeTable<PortDevice> table = devices;
        int index = table.find(port, size);
        if (index >= 0) {
            table.owner(index).write((int) (port - table.start(index)), size, value & mask(size));
        }
    }

    private static int mask(int size) {
        return size >= 4 ? -1 : (1 << (8 * size)) - 1;
    }
}
