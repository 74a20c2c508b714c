// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.PciFunction;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * The configuration space that a VFIO user sees (drivers/vfio/pci/vfio_pci_config.c). Of each bit of the header and of
 * the capabilities it is said whether it is virtual, which means that it is read from a copy that the user has, and
 * whether the user can write it: the copy where it is virtual, the function otherwise. All that is neither header nor
 * capability is passed through.
 *
 * <p>A user cannot move the function's BARs, nor disable its pin, nor enable its messages other than by
 * VFIO_DEVICE_SET_IRQS.
 *
 * <p>Guarded by the function's monitor.
 */
final class VfioConfigSpace {
    private static final int VENDOR_AND_DEVICE = 4;
    private static final int LATENCY_TIMER = 0x0d;
    private static final int BIST = 0x0f;
    private static final int ROM = 0x30;
    private static final int POWER_SIZE = 8;
    private static final int POWER_CAPABILITIES = 2;
    private static final int POWER_PME = 0xf800;
    private static final int POWER_CONTROL = 4;
    private static final int POWER_STATE = 3;
    private static final int POWER_PME_ENABLE = 0x8100;
    private static final int EXPRESS_SIZE = 60;
    private static final int EXPRESS_CAPABILITIES = 4;
    private static final int EXPRESS_CAN_RESET = 1 << 28;
    private static final int EXPRESS_CONTROL = 8;
    private static final int EXPRESS_RESET = 0x8000;
    private static final int EXPRESS_PAYLOAD = 0xe0;
    private static final int EXPRESS_READ_REQUEST = 0x7000;
    private static final int EXPRESS_PHANTOM = 0x200;
    private static final int EXPRESS_CONTROL_2 = 40;
    private static final int EXPRESS_ARI = 0x20;
    private static final int BAR_FLAGS = 0xf;
    private static final int DECODING = PciFunction.COMMAND_MEMORY | PciFunction.COMMAND_IO;

    private final PciFunction function;
    private final int size;
    private final int msi;
    private final int power;
    private final int express;
    private final byte[] copy;
    private final byte[] virtual;
    private final byte[] writable;
    private boolean barsWritten = true;
    private Consumer<Boolean> decoding = on -> {};
    private boolean resetWanted;

    /** Starts from what the function's own space holds. */
    VfioConfigSpace(PciFunction function) {
        this.function = function;
        this.size = function.configSize();
        this.msi = function.capability(PciFunction.CAPABILITY_MSI);
        this.power = function.capability(PciFunction.CAPABILITY_POWER);
        this.express = function.capability(PciFunction.CAPABILITY_EXPRESS);
        this.copy = new byte[size];
        this.virtual = new byte[size];
        this.writable = new byte[size];
        for (int i = 0; i < size; i++) {
            copy[i] = (byte) function.configRead(i, 1);
        }
        permit(PciFunction.HEADER_SIZE, size - PciFunction.HEADER_SIZE, false, true);
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
        permitMessages();
        permitPower();
        permitExpress();
    }

    private void permitMessages() {
        if (msi != 0) {
            permitList(msi, PciFunction.MSI_SIZE);
            permit(msi + PciFunction.MSI_CONTROL, PciFunction.MSI_SIZE - PciFunction.MSI_CONTROL, true, true);
            permit(msi + PciFunction.MSI_CONTROL + 1, 1, false, false);
        }
        int msix = function.capability(PciFunction.CAPABILITY_MSIX);
        if (msix != 0) {
            permitList(msix, PciFunction.MSIX_SIZE);
        }
    }

    /** A user may change the power state, by way of this class, and has no power management events. */
    private void permitPower() {
        if (power != 0) {
            permitList(power, POWER_SIZE);
            permitBits(power + POWER_CAPABILITIES, POWER_PME, 0);
            permitBits(power + POWER_CONTROL, POWER_PME_ENABLE, ~(POWER_PME_ENABLE | POWER_STATE));
            setCopy(power + POWER_CAPABILITIES, 2, copied(power + POWER_CAPABILITIES, 2) & ~POWER_PME);
            setCopy(power + POWER_CONTROL, 2, copied(power + POWER_CONTROL, 2) & ~POWER_PME_ENABLE);
        }
    }

    private void permitExpress() {
        if (express != 0) {
            permitList(express, EXPRESS_SIZE);
            permitBits(
                    express + EXPRESS_CONTROL,
                    EXPRESS_RESET | EXPRESS_PAYLOAD | EXPRESS_READ_REQUEST,
                    ~EXPRESS_PHANTOM);
            permitBits(express + EXPRESS_CONTROL_2, 0, ~EXPRESS_ARI);
        }
    }

    /** A capability of which nothing can be written; where the next one is is virtual. */
    private void permitList(int offset, int length) {
        permit(offset, length, false, false);
        permit(offset + 1, 1, true, false);
    }

    private void permitBits(int offset, int copied, int write) {
        for (int i = 0; i < 2; i++) {
            virtual[offset + i] = (byte) (copied >>> (8 * i));
            writable[offset + i] = (byte) (write >>> (8 * i));
        }
    }

    private void permit(int offset, int size, boolean copied, boolean write) {
        Arrays.fill(virtual, offset, offset + size, (byte) (copied ? 0xff : 0));
        Arrays.fill(writable, offset, offset + size, (byte) (write ? 0xff : 0));
    }

    /** Bytes of it. */
    int size() {
        return size;
    }

    /** Whether the user has memory decoding on, and the function has power. */
    boolean memoryEnabled() {
        return (copy[PciFunction.COMMAND] & PciFunction.COMMAND_MEMORY) != 0 && powerState() < POWER_STATE;
    }

    private int powerState() {
        return power == 0 ? 0 : function.configRead(power + POWER_CONTROL, 1) & POWER_STATE;
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
            int at = PciFunction.BAR0 + 4 * index;
            MmioRegion bar = function.bar(index);
            int flags = bar == null ? 0 : function.configRead(at, 1) & BAR_FLAGS;
            setCopy(at, 4, bar == null ? 0 : (copied(at, 4) & (int) -bar.size()) | flags);
            if ((flags & PciFunction.BAR_64BIT) != 0) {
                index++; // of its upper half all bits are the user's
            }
        }
        setCopy(ROM, 4, 0);
        barsWritten = false;
    }

    /** A function that is to be reset must have power. */
    void powerOn() {
        if (power != 0) {
            int at = power + POWER_CONTROL;
            function.configWrite(at, 2, function.configRead(at, 2) & ~POWER_STATE);
        }
    }

    /** Says who is told when the user turns memory decoding off, before it is, or on, after it is. */
    void onDecoding(Consumer<Boolean> listener) {
        decoding = listener;
    }

    /** Whether a write has asked for a reset of the function, which the caller now owes, without the monitor. */
    boolean takeReset() {
        boolean wanted = resetWanted;
        resetWanted = false;
        return wanted;
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
        int control = msi + PciFunction.MSI_CONTROL;
        if (msi != 0 && offset >= msi && offset <= control && offset + size >= control) {
            writeMessageControl(interrupts.msiInUse());
        }
        if (power != 0 && offset == power + POWER_CONTROL) {
            writePowerState(value & POWER_STATE);
        }
        if (express != 0 && offset <= express + EXPRESS_CONTROL + 1 && offset + size > express + EXPRESS_CONTROL) {
            writeExpressControl();
        }
    }

    /** A user of messages may switch them off and on; there is one vector, whatever the queue size says. */
    private void writeMessageControl(boolean inUse) {
        int at = msi + PciFunction.MSI_CONTROL;
        int control = copied(at, 2) & ~PciFunction.MSI_QUEUE_SIZE;
        if (!inUse) {
            control &= ~PciFunction.MSI_ENABLE;
        }
        setCopy(at, 2, control);
        function.configWrite(at, 2, control);
    }

    /** Without power the function's memory does not answer ({@code vfio_lock_and_set_power_state}). */
    private void writePowerState(int state) {
        if (state == POWER_STATE) {
            decoding.accept(false);
        }
        int at = power + POWER_CONTROL;
        function.configWrite(at, 2, (function.configRead(at, 2) & ~POWER_STATE) | state);
        if (memoryEnabled()) {
            decoding.accept(true);
        }
    }

    /** The bit that resets the function reads as zero. */
    private void writeExpressControl() {
        int at = express + EXPRESS_CONTROL;
        int control = copied(at, 2);
        if ((control & EXPRESS_RESET) != 0) {
            setCopy(at, 2, control & ~EXPRESS_RESET);
            resetWanted = (function.configRead(express + EXPRESS_CAPABILITIES, 4) & EXPRESS_CAN_RESET) != 0;
        }
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
