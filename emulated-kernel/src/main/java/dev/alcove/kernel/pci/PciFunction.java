// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import dev.alcove.kernel.mm.MmioRegion;
import org.jspecify.annotations.Nullable;

/**
 * One PCI function with a conventional configuration space, memory BARs, an MSI capability and INTx.
 *
 * <p>Thread safe: the monitor of the function guards its configuration space and its interrupt state. A device model
 * calls {@link #raise} and {@link #setPin} without a lock of its own held that its {@link MmioRegion} takes.
 */
public abstract class PciFunction implements AutoCloseable {
    public static final int HEADER_SIZE = 0x40;
    public static final int COMMAND = 0x04;
    public static final int STATUS = 0x06;
    public static final int CACHE_LINE_SIZE = 0x0c;
    public static final int BAR0 = 0x10;
    public static final int SUBSYSTEM = 0x2c;
    public static final int CAPABILITIES = 0x34;
    public static final int INTERRUPT_LINE = 0x3c;
    public static final int INTERRUPT_PIN = 0x3d;

    public static final int COMMAND_IO = 1;
    public static final int COMMAND_MEMORY = 2;
    public static final int COMMAND_MASTER = 4;
    public static final int COMMAND_SERR = 0x100;
    public static final int COMMAND_INTX_DISABLE = 0x400;
    public static final int STATUS_PIN = 8;

    /** Where the MSI capability is; it has 64-bit addresses and one vector. */
    public static final int MSI = 0x40;

    public static final int MSI_SIZE = 14;
    public static final int MSI_CONTROL = MSI + 2;
    public static final int MSI_ENABLE = 1;
    public static final int MSI_QUEUE_SIZE = 0x70;
    private static final int MSI_64BIT = 0x80;
    private static final int CAPABILITY_MSI = 5;

    /** Who is told of interrupts: the driver that owns the function. Called with the function's monitor held. */
    public interface InterruptSink {
        /** The function has sent message {@code vector}. */
        void message(int vector);

        /** The level that the INTx pin shows to the machine has changed. */
        void pin(boolean asserted);
    }

    private final PciConfig config = new PciConfig();
    private final @Nullable MmioRegion[] bars = new @Nullable MmioRegion[6];
    private @Nullable InterruptSink sink;
    private volatile boolean messages;
    /** The command register, for readers without the monitor. */
    private volatile int command;

    private boolean pin;

    /** The level of the pin as the machine last saw it. */
    private boolean shown;

    /**
     * @param classCode class, subclass and programming interface, 24 bits
     * @param revision revision id
     */
    protected PciFunction(int vendor, int device, int classCode, int revision) {
        config.set(0, 2, vendor);
        config.set(2, 2, device);
        // QEMU's defaults: its own subsystem id, and plain memory behind the header where no capability is.
        config.set(SUBSYSTEM, 4, 0x1100_1af4);
        for (int offset = HEADER_SIZE; offset < PciConfig.SIZE; offset++) {
            config.allow(offset, 1, 0xff);
        }
        config.allow(MSI, 4, 0);
        config.set(8, 4, classCode << 8 | revision);
        config.set(INTERRUPT_PIN, 1, 1);
        config.set(STATUS, 2, 0x10);
        config.set(CAPABILITIES, 1, MSI);
        config.set(MSI, 1, CAPABILITY_MSI);
        config.set(MSI_CONTROL, 2, MSI_64BIT);
        config.allow(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_DISABLE);
        config.allow(CACHE_LINE_SIZE, 1, 0xff);
        config.allow(INTERRUPT_LINE, 1, 0xff);
        config.allow(MSI_CONTROL, 2, MSI_ENABLE | MSI_QUEUE_SIZE);
        config.allow(MSI + 4, 4, -4);
        config.allow(MSI + 8, 4, -1);
        config.allow(MSI + 12, 2, 0xffff);
    }

    /**
     * Gives the function a 32-bit memory BAR.
     *
     * @param region its registers; the size is a power of two of at least 16 bytes
     */
    protected final synchronized void addBar(int index, MmioRegion region) {
        bars[index] = region;
        config.allow(BAR0 + 4 * index, 4, (int) -region.size());
    }

    /** The registers behind a BAR, or null. They answer only while {@link #memoryEnabled()}. */
    public final @Nullable MmioRegion bar(int index) {
        return bars[index];
    }

    /** Reads 1, 2 or 4 bytes of the configuration space. */
    public final synchronized int configRead(int offset, int size) {
        return config.read(offset, size);
    }

    /** Writes 1, 2 or 4 bytes of the configuration space. */
    public final synchronized void configWrite(int offset, int size, int value) {
        config.write(offset, size, value);
        command = config.read(COMMAND, 2);
        messages = (config.read(MSI_CONTROL, 2) & MSI_ENABLE) != 0;
        if (messages && offset < MSI + MSI_SIZE && offset + size > MSI) {
            // A function that sends messages leaves the pin alone.
            setPin(false);
        }
        showPin();
    }

    /** Changes some bits of the command register. */
    public final synchronized void changeCommand(int clear, int set) {
        configWrite(COMMAND, 2, (config.read(COMMAND, 2) & ~clear) | set);
    }

    /** All of the configuration space. */
    public final synchronized byte[] configCopy() {
        return config.copy();
    }

    /** Whether memory decoding is on. */
    public final boolean memoryEnabled() {
        return (command & COMMAND_MEMORY) != 0;
    }

    /** Whether the function may make memory accesses of its own. */
    public final boolean busMaster() {
        return (command & COMMAND_MASTER) != 0;
    }

    /** Gives the function's interrupts to a driver, or to nobody. */
    public final synchronized void setSink(@Nullable InterruptSink sink) {
        this.sink = sink;
    }

    /** Whether interrupts go out as messages: the enable bit of the MSI capability. */
    public final boolean messagesEnabled() {
        return messages;
    }

    /** Sends a message interrupt. A message is a write by the function, so it needs bus mastering. */
    protected final synchronized void raise(int vector) {
        if (sink != null && messages && busMaster()) {
            sink.message(vector);
        }
    }

    /** Asserts or deasserts the INTx pin. */
    protected final synchronized void setPin(boolean asserted) {
        pin = asserted;
        int status = config.read(STATUS, 2);
        config.set(STATUS, 2, asserted ? status | STATUS_PIN : status & ~STATUS_PIN);
        showPin();
    }

    /** Whether the function has an INTx interrupt pending, also while the command register disables the pin. */
    public final synchronized boolean pinPending() {
        return pin;
    }

    /** Whether the function asserts INTx and may. */
    public final synchronized boolean pinAsserted() {
        return pin && (command & COMMAND_INTX_DISABLE) == 0;
    }

    private void showPin() {
        boolean asserted = pinAsserted();
        if (asserted != shown) {
            shown = asserted;
            if (sink != null) {
                sink.pin(asserted);
            }
        }
    }

    /**
     * Resets the function ({@code pci_reset_function}): the device model starts anew, while the configuration space is as
     * it was, because the kernel saves and restores it. Returns when the device does no DMA any more.
     */
    public final void reset() {
        resetDevice();
        setPin(false);
    }

    /** What the device model forgets when it is reset. Called without the function's monitor held. */
    protected void resetDevice() {}

    @Override
    public abstract void close();
}
