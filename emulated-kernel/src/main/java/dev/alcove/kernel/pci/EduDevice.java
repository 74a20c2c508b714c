// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import dev.alcove.kernel.iommu.DmaPort;
import dev.alcove.kernel.mm.MmioRegion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

import static dev.alcove.kernel.pci.EduRegisters.*;

/**
 * A function that behaves as QEMU's {@code edu} device, 1234:11e8: registers, a factorial engine, interrupts, and a
 * DMA engine with a 4 KiB buffer. The engines run on one thread of the device, so a transfer goes on beside the
 * processors as on real hardware; QEMU takes 100 ms for one, this device as long as the copy takes.
 *
 * <p>A transfer that leaves the buffer, where QEMU aborts, is dropped and counted as rejected, and so is one without bus
 * mastering.
 *
 * <p>Lock: {@code lock} guards changes of registers; the engine copies without it. It is taken before the function's
 * monitor. Reads take no lock: a processor that polls a register would otherwise keep the engine from ever getting it.
 */
public final class EduDevice extends PciFunction {
    public static final int VENDOR = 0x1234;
    public static final int DEVICE = 0x11e8;
    private static final int CLASS_OTHERS = 0x00ff00;
    private static final int REVISION = 0x10;
    /** What QEMU's firmware writes on a q35 machine. */
    private static final int FIRMWARE_ADDRESS = 0xfea00000;

    private static final int FIRMWARE_LINE = 11;
    private static final int MSI = 0x40;

    private final DmaPort dma;
    private final long dmaMask;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment buffer = arena.allocate(BUFFER_SIZE);
    private final Object lock = new Object();
    private final Thread engine;

    private volatile int liveness;
    private volatile int factorial;
    private volatile int status;
    private volatile int interruptStatus;
    private volatile long source;
    private volatile long destination;
    private volatile long count;
    private volatile long command;
    private volatile boolean computing;
    private boolean closed;
    private long rejected;

    /**
     * @param dma the function's way to memory
     * @param dmaBits how many address bits the DMA engine has; QEMU's default is 28
     */
    public EduDevice(DmaPort dma, int dmaBits) {
        super(VENDOR, DEVICE, CLASS_OTHERS, REVISION, false);
        this.dma = dma;
        this.dmaMask = (1L << dmaBits) - 1;
        addMsi(MSI);
        addBar(0, new Registers(), 0);
        configWrite(BAR0, 4, FIRMWARE_ADDRESS);
        configWrite(INTERRUPT_LINE, 1, FIRMWARE_LINE);
        configWrite(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_SERR);
        this.engine = new Thread(this::engine, "edu-engine");
        engine.setDaemon(true);
        engine.start();
    }

    /** Transfers that never got on the bus: out of the device's buffer, or without bus mastering. */
    public long rejectedTransfers() {
        synchronized (lock) {
            return rejected;
        }
    }

    private final class Registers implements MmioRegion {
        @Override
        public long size() {
            return BAR_SIZE;
        }

        @Override
        public long read(long offset, int size) {
            long ones = size == 8 ? -1L : (1L << (8 * size)) - 1;
            if (!memoryEnabled()) {
                return ones;
            }
            if (size < 4) {
                // The device's bus interface takes no such access, and QEMU answers what it fills in for errors.
                return 0;
            }
            if (!accepts(offset, size)) {
                return ones;
            }
            return ones
                    & switch ((int) offset) {
                        case IDENTIFICATION -> IDENTITY;
                        case LIVENESS -> liveness;
                        case FACTORIAL -> factorial;
                        case DEVICE_STATUS -> status | (computing ? STATUS_COMPUTING : 0);
                        case INTERRUPT_STATUS -> interruptStatus;
                        case DMA_SOURCE -> source;
                        case DMA_DESTINATION -> destination;
                        case DMA_COUNT -> count;
                        case DMA_COMMAND -> command;
                        default -> -1L;
                    };
        }

        @Override
        public void write(long offset, int size, long value) {
            if (!memoryEnabled() || !accepts(offset, size)) {
                return;
            }
            synchronized (lock) {
                boolean idle = (command & COMMAND_RUN) == 0;
                switch ((int) offset) {
                    case LIVENESS -> liveness = ~(int) value;
                    case FACTORIAL -> startFactorial((int) value);
                    case DEVICE_STATUS -> status = (int) value & STATUS_INTERRUPT;
                    case INTERRUPT_RAISE -> raiseInterrupt((int) value);
                    case INTERRUPT_ACKNOWLEDGE -> acknowledge((int) value);
                    case DMA_SOURCE -> source = idle ? value : source;
                    case DMA_DESTINATION -> destination = idle ? value : destination;
                    case DMA_COUNT -> count = idle ? value : count;
                    case DMA_COMMAND -> startTransfer(value, idle);
                    default -> {}
                }
            }
        }

        /** Registers below the DMA engine's take four bytes, those of the engine four or eight. */
        private boolean accepts(long offset, int size) {
            return size == 4 || (size == 8 && offset >= DMA_SOURCE);
        }
    }

    private void startFactorial(int value) {
        if (!computing) {
            factorial = value;
            computing = true;
            lock.notifyAll();
        }
    }

    private void startTransfer(long value, boolean idle) {
        if (idle && (value & COMMAND_RUN) != 0) {
            command = value;
            lock.notifyAll();
        }
    }

    private void raiseInterrupt(int bits) {
        interruptStatus |= bits;
        if (interruptStatus == 0) {
            return;
        }
        if (messagesEnabled()) {
            raise(0);
        } else {
            setPin(true);
        }
    }

    private void acknowledge(int bits) {
        interruptStatus &= ~bits;
        if (interruptStatus == 0 && !messagesEnabled()) {
            setPin(false);
        }
    }

    private void engine() {
        try {
            while (awaitWork()) {
                transfer();
            }
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits for a transfer, and computes factorials meanwhile; false when the device is closed. */
    private boolean awaitWork() throws InterruptedException {
        synchronized (lock) {
            while (!closed) {
                if (computing) {
                    factorial = factorialOf(factorial);
                    computing = false;
                    if ((status & STATUS_INTERRUPT) != 0) {
                        raiseInterrupt(INTERRUPT_FACTORIAL);
                    }
                } else if ((command & COMMAND_RUN) != 0) {
                    return true;
                } else {
                    lock.wait();
                }
            }
            return false;
        }
    }

    private static int factorialOf(int value) {
        int product = 1;
        for (int i = value; Integer.compareUnsigned(i, 1) > 0 && product != 0; i--) {
            product *= i;
        }
        return product;
    }

    /** Runs the transfer in the registers, which stand still while RUN is set. */
    private void transfer() {
        boolean toRam = (command & COMMAND_TO_RAM) != 0;
        long inDevice = (toRam ? source : destination) - BUFFER;
        long inRam = (toRam ? destination : source) & dmaMask;
        long bytes = count;
        boolean inBuffer = inDevice >= 0 && inDevice <= BUFFER_SIZE && bytes >= 0 && bytes <= BUFFER_SIZE - inDevice;
        boolean allowed = inBuffer && busMaster();
        if (inBuffer && bytes > 0) {
            move(buffer.asSlice(inDevice, bytes), inRam, toRam, allowed);
        }
        synchronized (lock) {
            if (!allowed) {
                rejected++;
            }
            if ((command & COMMAND_RUN) != 0) {
                command &= ~COMMAND_RUN;
                if ((command & COMMAND_INTERRUPT) != 0) {
                    raiseInterrupt(INTERRUPT_DMA);
                }
            }
            lock.notifyAll();
        }
    }

    private void move(MemorySegment part, long inRam, boolean toRam, boolean allowed) {
        if (allowed && toRam) {
            dma.write(inRam, part);
        } else if (allowed) {
            dma.read(inRam, part);
        } else if (!toRam) {
            // What never gets on the bus reads as what is refused there does.
            part.fill((byte) 0);
        }
    }

    @Override
    public void close() {
        synchronized (lock) {
            closed = true;
            lock.notifyAll();
        }
        try {
            engine.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return;
        }
        arena.close();
    }
}
