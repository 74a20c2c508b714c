// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.vmm.bus.PortDevice;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;

/**
 * A 16550A UART (National Semiconductor PC16550D), as COM1.
 *
 * <p>What a driver probes is there: the scratch register, the FIFO bits, the divisor latch, loopback with the modem
 * lines. The transmitter takes a byte at once and is always ready. It has no interrupt line: interrupts can be
 * enabled and identified in IIR, but the guest has to poll.
 *
 * <p>The object's monitor protects the registers and the sink.
 */
public final class Serial16550 implements PortDevice {
    public static final int COM1 = 0x3f8;
    public static final int PORTS = 8;

    private static final int DATA = 0;
    private static final int IER = 1;
    private static final int IIR_FCR = 2;
    private static final int LCR = 3;
    private static final int MCR = 4;
    private static final int LSR = 5;
    private static final int MSR = 6;
    private static final int SCR = 7;

    private static final int IER_RX = 1;
    private static final int IER_THRE = 1 << 1;
    private static final int FCR_ENABLE = 1;
    private static final int FCR_CLEAR_RX = 1 << 1;
    private static final int LCR_DLAB = 1 << 7;
    private static final int MCR_LOOP = 1 << 4;
    private static final int LSR_DATA_READY = 1;
    private static final int LSR_OVERRUN = 1 << 1;
    private static final int LSR_THR_EMPTY = 1 << 5;
    private static final int LSR_IDLE = 1 << 6;
    private static final int IIR_NONE = 1;
    private static final int IIR_THRE = 2;
    private static final int IIR_RX = 4;
    private static final int IIR_FIFO = 0xc0;
    /** Carrier, data set ready, clear to send: a line with somebody at its other end. */
    private static final int MSR_CONNECTED = 0xb0;

    private static final int FIFO_BYTES = 16;

    private final OutputStream sink;
    private final byte[] received = new byte[FIFO_BYTES];
    private int firstReceived;
    private int receivedCount;
    private int interruptEnable;
    private int lineControl;
    private int modemControl;
    private int scratch;
    private int divisor = 12; // 9600 baud
    private boolean fifo;
    private boolean overrun;
    private boolean transmitterReported = true;

    /** @param sink gets what the guest sends; it is flushed at the end of every line */
    public Serial16550(OutputStream sink) {
        this.sink = sink;
    }

    @Override
    public int read(int offset, int size) {
        return size == 1 ? readRegister(offset) : -1;
    }

    @Override
    public void write(int offset, int size, int value) {
        if (size == 1) {
            writeRegister(offset, value);
        }
    }

    /**
     * A byte arrives on the line.
     *
     * @return whether there was room for it; if not, the guest sees an overrun
     */
    public synchronized boolean receive(int value) {
        int capacity = fifo ? FIFO_BYTES : 1;
        if (receivedCount == capacity) {
            overrun = true;
            return false;
        }
        received[(firstReceived + receivedCount++) % FIFO_BYTES] = (byte) value;
        return true;
    }

    private synchronized int readRegister(int register) {
        boolean latch = (lineControl & LCR_DLAB) != 0;
        return switch (register) {
            case DATA -> latch ? divisor & 0xff : takeReceived();
            case IER -> latch ? divisor >> 8 : interruptEnable;
            case IIR_FCR -> interruptIdentification();
            case LCR -> lineControl;
            case MCR -> modemControl;
            case LSR -> lineStatus();
            case MSR -> modemStatus();
            case SCR -> scratch;
            default -> 0xff;
        };
    }

    private synchronized void writeRegister(int register, int value) {
        boolean latch = (lineControl & LCR_DLAB) != 0;
        switch (register) {
            case DATA -> {
                if (latch) {
                    divisor = (divisor & 0xff00) | value;
                } else {
                    transmit(value);
                }
            }
            case IER -> {
                if (latch) {
                    divisor = (divisor & 0xff) | (value << 8);
                } else {
                    transmitterReported &= (value & ~interruptEnable & IER_THRE) == 0;
                    interruptEnable = value & 0xf;
                }
            }
            case IIR_FCR -> {
                boolean enable = (value & FCR_ENABLE) != 0;
                if (enable != fifo || (value & FCR_CLEAR_RX) != 0) {
                    receivedCount = 0;
                }
                fifo = enable;
            }
            case LCR -> lineControl = value;
            case MCR -> modemControl = value & 0x1f;
            case SCR -> scratch = value;
            default -> {} // LSR and MSR are read-only
        }
    }

    private void transmit(int value) {
        transmitterReported = false;
        if ((modemControl & MCR_LOOP) != 0) {
            receive(value);
            return;
        }
        try {
            sink.write(value);
            if (value == '\n') {
                sink.flush();
            }
        } catch (IOException e) {
            throw new UncheckedIOException("the guest's serial output cannot be written", e);
        }
    }

    private int takeReceived() {
        if (receivedCount == 0) {
            return 0;
        }
        int value = received[firstReceived] & 0xff;
        firstReceived = (firstReceived + 1) % FIFO_BYTES;
        receivedCount--;
        return value;
    }

    private int interruptIdentification() {
        int fifoBits = fifo ? IIR_FIFO : 0;
        if ((interruptEnable & IER_RX) != 0 && receivedCount > 0) {
            return fifoBits | IIR_RX;
        }
        if ((interruptEnable & IER_THRE) != 0 && !transmitterReported) {
            transmitterReported = true; // reading IIR clears it
            return fifoBits | IIR_THRE;
        }
        return fifoBits | IIR_NONE;
    }

    private int lineStatus() {
        int status = LSR_THR_EMPTY | LSR_IDLE;
        if (receivedCount > 0) {
            status |= LSR_DATA_READY;
        }
        if (overrun) {
            status |= LSR_OVERRUN;
            overrun = false; // reading LSR clears it
        }
        return status;
    }

    /** In loopback the modem lines are wired back: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD. */
    private int modemStatus() {
        if ((modemControl & MCR_LOOP) == 0) {
            return MSR_CONNECTED;
        }
        return ((modemControl & 1) << 5) | ((modemControl & 2) << 3) | ((modemControl & 0xc) << 4);
    }
}
