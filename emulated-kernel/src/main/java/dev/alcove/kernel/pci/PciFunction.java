// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import dev.alcove.kernel.mm.MmioRegion;
import org.jspecify.annotations.Nullable;

/**
 * One PCI function: configuration space, memory BARs, INTx, and either an MSI capability of one vector or MSI-X.
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
    private static final int STATUS_CAPABILITIES = 0x10;

    public static final int CAPABILITY_POWER = 1;
    public static final int CAPABILITY_MSI = 5;
    public static final int CAPABILITY_EXPRESS = 0x10;
    public static final int CAPABILITY_MSIX = 0x11;

    /** Offsets in the MSI capability, which has 64-bit addresses and one vector; and bits of its control word. */
    public static final int MSI_CONTROL = 2;

    public static final int MSI_SIZE = 14;
    public static final int MSI_ENABLE = 1;
    public static final int MSI_QUEUE_SIZE = 0x70;
    private static final int MSI_64BIT = 0x80;

    /** Offsets in the MSI-X capability, and bits of its control word. */
    public static final int MSIX_CONTROL = 2;

    public static final int MSIX_SIZE = 12;
    public static final int MSIX_ENABLE = 0x8000;
    public static final int MSIX_MASK_ALL = 0x4000;

    /** A 64-bit memory BAR, which takes two registers. */
    public static final int BAR_64BIT = 4;

    /** Who is told of interrupts: the driver that owns the function. Called with the function's monitor held. */
    public interface InterruptSink {
        /** The function has sent message {@code vector}. */
        void message(int vector);

        /** The level that the INTx pin shows to the machine has changed. */
        void pin(boolean asserted);
    }

    private final PciConfig config;
    private final @Nullable MmioRegion[] bars = new @Nullable MmioRegion[6];
    private @Nullable InterruptSink sink;
    private @Nullable MsixTable msixTable;
    private volatile boolean messages;
    /** The command register, for readers without the monitor. */
    private volatile int command;

    private boolean pin;

    /** The level of the pin as the machine last saw it. */
    private boolean shown;

    /**
     * @param classCode class, subclass and programming interface, 24 bits
     * @param revision revision id
     * @param express whether it is a PCI Express function, with 4096 bytes of configuration space
     */
    protected PciFunction(int vendor, int device, int classCode, int revision, boolean express) {
        config = new PciConfig(express ? PciConfig.EXPRESS : PciConfig.CONVENTIONAL);
        config.set(0, 2, vendor);
        config.set(2, 2, device);
        // QEMU's defaults: its own subsystem id, and plain memory behind the header where no capability is.
        config.set(SUBSYSTEM, 4, 0x1100_1af4);
        for (int offset = HEADER_SIZE; offset < config.size(); offset++) {
            config.allow(offset, 1, 0xff);
        }
        config.set(8, 4, classCode << 8 | revision);
        config.set(INTERRUPT_PIN, 1, 1);
        config.allow(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_DISABLE);
        config.allow(CACHE_LINE_SIZE, 1, 0xff);
        config.allow(INTERRUPT_LINE, 1, 0xff);
    }

    /**
     * Puts a capability in front of those that are there; software changes nothing in it.
     *
     * @param content what is behind the header of two bytes, in words of two bytes
     */
    protected final synchronized void addCapability(int id, int offset, int... content) {
        config.set(offset, 1, id);
        config.set(offset + 1, 1, config.read(CAPABILITIES, 1));
        config.allow(offset, 2, 0);
        for (int i = 0; i < content.length; i++) {
            config.set(offset + 2 + 2 * i, 2, content[i]);
            config.allow(offset + 2 + 2 * i, 2, 0);
        }
        config.set(CAPABILITIES, 1, offset);
        config.set(STATUS, 2, config.read(STATUS, 2) | STATUS_CAPABILITIES);
    }

    /** Lets software change some bits of a word of a capability. */
    protected final synchronized void allow(int offset, int mask) {
        config.allow(offset, 2, mask);
    }

    /** Gives the function messages of one vector. */
    protected final void addMsi(int offset) {
        addCapability(CAPABILITY_MSI, offset, MSI_64BIT, 0, 0, 0, 0, 0);
        allow(offset + MSI_CONTROL, MSI_ENABLE | MSI_QUEUE_SIZE);
        allow(offset + 4, 0xfffc);
        allow(offset + 6, 0xffff);
        allow(offset + 8, 0xffff);
        allow(offset + 10, 0xffff);
        allow(offset + 12, 0xffff);
    }

    /**
     * Gives the function messages with a vector table.
     *
     * @param bar where table and pending bits are
     */
    protected final synchronized void addMsix(int offset, MsixTable table, int bar, int tableOffset, int pendingOffset) {
        addCapability(
                CAPABILITY_MSIX,
                offset,
                table.vectors() - 1,
                (tableOffset & 0xffff) | bar,
                tableOffset >>> 16,
                (pendingOffset & 0xffff) | bar,
                pendingOffset >>> 16);
        allow(offset + MSIX_CONTROL, MSIX_ENABLE | MSIX_MASK_ALL);
        msixTable = table;
    }

    /**
     * Gives the function a memory BAR.
     *
     * @param region its registers; the size is a power of two of at least 16 bytes
     * @param flags 0, or {@link #BAR_64BIT}
     */
    protected final synchronized void addBar(int index, MmioRegion region, int flags) {
        bars[index] = region;
        config.set(BAR0 + 4 * index, 4, flags);
        config.allow(BAR0 + 4 * index, 4, (int) -region.size());
        if ((flags & BAR_64BIT) != 0) {
            config.allow(BAR0 + 4 * index + 4, 4, -1);
        }
    }

    /** Bytes of the configuration space: 256 or 4096. */
    public final int configSize() {
        return config.size();
    }

    /** Whether it is a PCI Express function. */
    public final boolean express() {
        return config.size() == PciConfig.EXPRESS;
    }

    /** Where a capability is, 0 when the function has none such. */
    public final synchronized int capability(int id) {
        int at = config.read(CAPABILITIES, 1);
        while (at != 0 && config.read(at, 1) != id) {
            at = config.read(at + 1, 1);
        }
        return at;
    }

    /** The vectors of MSI-X; null without it. */
    public final synchronized @Nullable MsixTable msixTable() {
        return msixTable;
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
        takeMessageControl(offset, size);
        showPin();
    }

    /** A function that sends messages leaves the pin alone. */
    private void takeMessageControl(int offset, int size) {
        int msi = capability(CAPABILITY_MSI);
        int msix = capability(CAPABILITY_MSIX);
        boolean msiEnabled = msi != 0 && (config.read(msi + MSI_CONTROL, 2) & MSI_ENABLE) != 0;
        int msixControl = msix == 0 ? 0 : config.read(msix + MSIX_CONTROL, 2);
        messages = msiEnabled || (msixControl & MSIX_ENABLE) != 0;
        int at = msix != 0 ? msix : msi;
        int length = msix != 0 ? MSIX_SIZE : MSI_SIZE;
        if (offset < at + length && offset + size > at) {
            if (messages) {
                setPin(false);
            }
            if (msixTable != null) {
                msixTable.setControl((msixControl & MSIX_ENABLE) != 0, (msixControl & MSIX_MASK_ALL) != 0);
            }
        }
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

    /** Whether interrupts go out as messages: the enable bit of the MSI or MSI-X capability. */
    public final boolean messagesEnabled() {
        return messages;
    }

    /** Sends a message interrupt. A message is a write by the function, so it needs bus mastering. */
    protected final synchronized void raise(int vector) {
        if (sink != null && messages && busMaster()) {
            sink.message(vector);
        }
    }

    /** A message of MSI-X that has left the table for the machine's interrupt controllers. */
    final synchronized void deliver(int vector) {
        if (sink != null && busMaster()) {
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

    /** Whether software can reset the function alone (function level reset). */
    public boolean resettable() {
        return false;
    }

    /**
     * Resets the function ({@code pci_reset_function}): the device model starts anew, while the configuration space is as
     * it was, because the kernel saves and restores it. Returns when the device does no DMA any more.
     */
    public final void reset() {
        resetDevice();
        synchronized (this) {
            if (msixTable != null) {
                msixTable.clearPending();
            }
            setPin(false);
        }
    }

    /** What the device model forgets when it is reset. Called without the function's monitor held. */
    protected void resetDevice() {}

    @Override
    public abstract void close();
}
