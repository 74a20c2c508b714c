// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.PciFunction;

/**
 * The configuration space that a VFIO user sees: the function's own, with BARs and interrupt set-up virtualised
 * (drivers/vfio/pci/vfio_pci_config.c). A user cannot move the function's BARs, nor enable its messages other than by
 * VFIO_DEVICE_SET_IRQS.
 *
 * <p>Guarded by the monitor of the device that owns it.
 */
final class VfioConfigSpace {
    static final int SIZE = 256;
    private static final int BARS_END = PciFunction.BAR0 + 24;

    private final PciFunction function;
    private final int[] bars = new int[6];
    private int messageControl;
    private int messageAddressLow;
    private int messageAddressHigh;
    private int messageData;

    VfioConfigSpace(PciFunction function) {
        this.function = function;
        for (int i = 0; i < bars.length; i++) {
            bars[i] = function.configRead(PciFunction.BAR0 + 4 * i, 4);
        }
    }

    /** Reads one byte. */
    int read(int offset) {
        int word = offset & ~3;
        int shift = 8 * (offset & 3);
        return (readWord(word) >>> shift) & 0xff;
    }

    private int readWord(int offset) {
        if (offset >= PciFunction.BAR0 && offset < BARS_END) {
            return bars[(offset - PciFunction.BAR0) / 4];
        }
        return switch (offset) {
            case PciFunction.MSI ->
                (function.configRead(offset, 4) & ~(PciFunction.MSI_ENABLE << 16)) | messageControl << 16;
            case PciFunction.MSI + 4 -> messageAddressLow;
            case PciFunction.MSI + 8 -> messageAddressHigh;
            case PciFunction.MSI + 12 -> messageData;
            default -> function.configRead(offset, 4);
        };
    }

    /**
     * Writes one byte.
     *
     * @param messagesInUse whether the user has set MSI up by VFIO_DEVICE_SET_IRQS
     */
    void write(int offset, int value, boolean messagesInUse) {
        int word = offset & ~3;
        int shift = 8 * (offset & 3);
        int merged = (readWord(word) & ~(0xff << shift)) | (value & 0xff) << shift;
        if (word >= PciFunction.BAR0 && word < BARS_END) {
            int index = (word - PciFunction.BAR0) / 4;
            MmioRegion bar = function.bar(index);
            bars[index] = bar == null ? 0 : merged & (int) -bar.size();
            return;
        }
        switch (word) {
            case PciFunction.MSI -> messageControl = messagesInUse ? merged >>> 16 & PciFunction.MSI_ENABLE : 0;
            case PciFunction.MSI + 4 -> messageAddressLow = merged & -4;
            case PciFunction.MSI + 8 -> messageAddressHigh = merged;
            case PciFunction.MSI + 12 -> messageData = merged & 0xffff;
            default -> function.configWrite(offset, 1, value);
        }
    }

    /** Sets the enable bit as the driver does when messages are switched on or off. */
    void setMessagesInUse(boolean inUse) {
        messageControl = inUse ? PciFunction.MSI_ENABLE : 0;
    }
}
