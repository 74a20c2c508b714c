// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

/**
 * The bytes of a configuration space, 256 of a conventional function and 4096 of a PCI Express one, and which of their
 * bits software may change.
 *
 * <p>Little endian. Not thread safe; the function that owns it has the lock.
 */
final class PciConfig {
    static final int CONVENTIONAL = 256;
    static final int EXPRESS = 4096;

    private final byte[] bytes;
    private final byte[] writable;

    /** @param size CONVENTIONAL or EXPRESS */
    PciConfig(int size) {
        bytes = new byte[size];
        writable = new byte[size];
    }

    int size() {
        return bytes.length;
    }

    /** Sets a value that software cannot change. */
    void set(int offset, int size, int value) {
        for (int i = 0; i < size; i++) {
            bytes[offset + i] = (byte) (value >>> (8 * i));
        }
    }

    /** Says which bits software may change. */
    void allow(int offset, int size, int mask) {
        for (int i = 0; i < size; i++) {
            writable[offset + i] = (byte) (mask >>> (8 * i));
        }
    }

    /** Reads 1, 2 or 4 bytes; bytes past the end are ones. */
    int read(int offset, int size) {
        int value = 0;
        for (int i = 0; i < size; i++) {
            int octet = offset + i < bytes.length ? bytes[offset + i] & 0xff : 0xff;
            value |= octet << (8 * i);
        }
        return value;
    }

    /** Writes the bits that software may change. */
    void write(int offset, int size, int value) {
        for (int i = 0; i < size && offset + i < bytes.length; i++) {
            int mask = writable[offset + i];
            bytes[offset + i] = (byte) ((bytes[offset + i] & ~mask) | ((value >>> (8 * i)) & mask));
        }
    }

    /** All bytes. */
    byte[] copy() {
        return bytes.clone();
    }
}
