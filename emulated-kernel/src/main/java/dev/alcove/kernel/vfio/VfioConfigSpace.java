// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.PciFunction;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * The configuration space that a VFIO user sees (drivers/vfio/pci/vfio_pci_config.c). Of each bit of the header and of
 * the MSI capability it is said whether it is virtual, which means that it is read from a copy that the user has, and
 * whether the user can write it: the copy where it is virtual, the function otherwise. All that is neither header nor
 * capability is passed through.
 *
 * <p>A user cannot move the function's BARs, nor disable its pin, nor enable its messages other than by
 * VFIO_DEVICE_SET_IRQS.
 *
 * <p>Guarded by the function's monitor.
 */
final class VfioConfigSpace {
    static final int SIZE = 256;
    private static final int VENDOR_AND_DEVICE = 4;
    private static final int LATENCY_TIMER = 0x0d;
    private static final int BIST = 0x0f;
    private static final int ROM = 0x30;
    private static final int MSI_LOW_CONTROL = PciFunction.MSI_CONTROL;
    private static final int MSI_ADDRESS = PciFunction.MSI + 4;
    private static final int MSI_END = PciFunction.MSI + PciFunction.MSI_SIZE;
    private static final int DECODING = PciFunction.COMMAND_MEMORY | PciFunction.COMMAND_IO;

    private final PciFunction function;
    private final byte[] copy = new byte[SIZE];
    private final byte[] virtual = new byte[SIZE];
    private final byte[] writable = new byte[SIZE];
    private boolean barsWritten = true;
    private Consumer<Boolean> decoding = on -> {};

    /** Starts from what the function's own space holds. */
    VfioConfigSpace(PciFunction function) {
        this.function = function;
        for (int i = 0; i < SIZE; i++) {
            copy[i] = (byte) function.configRead(i, 1);
        }
        permit(0, VENDOR_AND_DEVICE, true, false);
        permit(PciFunction.COMMAND, 2, false, true);
        virtual[PciFunction.COMMAND + 1] = (byte) (PciFunction.COMMAND_INTX_DISABLE >>> 8);
        permit(PciFunction.CACHE_LINE_SIZE, 1, false, true);
        permit(LATENCY_TIMER, 1, false, true);
        permit(BIST, 1, false, true);
        permit(PciFunction.BAR0, 24, true, true);
        permit(ROM, 4, true, true);
        permit(PciFunction.CAPABILITIES, 1, true, false);
        permit(PciFunction.INTERRUPT_LINE, 1, true, true);
        permit(PciFunction.INTERRUPT_PIN, 1, true, false);
        permit(PciFunction.MSI + 1, 1, true, false);
        permit(MSI_LOW_CONTROL, 1, true, true);
        permit(MSI_ADDRESS, MSI_END - MSI_ADDRESS, true, true);
        permit(MSI_END, SIZE - MSI_END, false, true);
    }

    private void permit(int offset, int size, boolean copied, boolean write) {
        Arrays.fill(virtual, offset, offset + size, (byte) (copied ? 0xff : 0));
        Arrays.fill(writable, offset, offset + size, (byte) (write ? 0xff : 0));
    }

    /** Whether the user has memory decoding on. */
    boolean memoryEnabled() {
        return (copy[PciFunction.COMMAND] & PciFunction.COMMAND_MEMORY) != 0;
    }

    /** Reads up to a dword that lies in one; little endian. */
    int read(int offset, int size) {
        if (barsWritten && offset >= PciFunction.BAR0 && offset < ROM + 4) {
            fixBars();
        }
        int value = 0;
        for (int i = 0; i < size; i++) {
            int at = offset + i;
            int mask = virtual[at] & 0xff;
            int octet = (copy[at] & mask) | (mask == 0xff ? 0 : function.configRead(at, 1) & ~mask);
            value |= (octet & 0xff) << (8 * i);
        }
        return value;
    }

    /** What the user sees of a BAR it has written: the bits below its size are fixed. */
    private void fixBars() {
        for (int index = 0; index < 6; index++) {
            MmioRegion bar = function.bar(index);
            setCopy(PciFunction.BAR0 + 4 * index, 4, bar == null ? 0 : copied(PciFunction.BAR0 + 4 * index, 4) & (int) -bar.size());
        }
        setCopy(ROM, 4, 0);
        barsWritten = false;
    }

    /** Says who is told when the user turns memory decoding off, before it is, or on, after it is. */
    void onDecoding(Consumer<Boolean> listener) {
        decoding = listener;
    }

    /** Writes up to a dword that lies in one. */
    void write(int offset, int size, int value, VfioInterrupts interrupts) {
        if (offset == PciFunction.COMMAND && (value & PciFunction.COMMAND_MEMORY) == 0) {
            decoding.accept(false);
        }
        for (int i = 0; i < size; i++) {
            int at = offset + i;
            int octet = value >>> (8 * i);
            int toCopy = writable[at] & virtual[at];
            int toFunction = writable[at] & ~virtual[at] & 0xff;
            copy[at] = (byte) ((copy[at] & ~toCopy) | (octet & toCopy));
            if (toFunction != 0) {
                function.configWrite(at, 1, (function.configRead(at, 1) & ~toFunction) | (octet & toFunction));
            }
        }
        if (offset == PciFunction.COMMAND) {
            setCopy(offset, 1, (copied(offset, 1) & ~DECODING) | (value & DECODING));
            if (memoryEnabled()) {
                decoding.accept(true);
            }
        }
        if (offset >= PciFunction.COMMAND && offset < PciFunction.COMMAND + 2) {
            interrupts.disablePin((copied(PciFunction.COMMAND, 2) & PciFunction.COMMAND_INTX_DISABLE) != 0);
        }
        if (offset >= PciFunction.BAR0 && offset < ROM + 4) {
            barsWritten = true;
        }
        if (offset >= PciFunction.MSI && offset <= MSI_LOW_CONTROL && offset + size >= MSI_LOW_CONTROL) {
            writeMessageControl(interrupts.messagesInUse());
        }
    }

    /** A user of messages may switch them off and on; there is one vector, whatever the queue size says. */
    private void writeMessageControl(boolean inUse) {
        int control = copied(MSI_LOW_CONTROL, 2) & ~PciFunction.MSI_QUEUE_SIZE;
        if (!inUse) {
            control &= ~PciFunction.MSI_ENABLE;
        }
        setCopy(MSI_LOW_CONTROL, 2, control);
        function.configWrite(MSI_LOW_CONTROL, 2, control);
    }

    private int copied(int offset, int size) {
        int value = 0;
        for (int i = 0; i < size; i++) {
            value |= (copy[offset + i] & 0xff) << (8 * i);
        }
        return value;
    }

    private void setCopy(int offset, int size, int value) {
        for (int i = 0; i < size; i++) {
            copy[offset + i] = (byte) (value >>> (8 * i));
        }
    }
}
