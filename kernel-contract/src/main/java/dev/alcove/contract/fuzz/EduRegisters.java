// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;

/** QEMU's edu device through a VFIO device file. */
record EduRegisters(Syscalls syscalls, int device) {
    static final long CONFIG = 7L << 40;
    static final int COMMAND = 4;
    static final int STATUS = 6;
    static final int MEMORY = 2;
    static final int MEMORY_AND_MASTER = 6;
    static final long VENDOR_AND_DEVICE = 0x11e8_1234L;

    static final int LIVENESS = 4;
    static final int FACTORIAL = 8;
    static final int COMPUTING = 0x20;
    static final int INTERRUPTS = 0x24;
    static final int RAISE = 0x60;
    static final int ACKNOWLEDGE = 0x64;
    static final int SOURCE = 0x80;
    static final int DESTINATION = 0x88;
    static final int COUNT = 0x90;
    static final int TRANSFER = 0x98;
    static final int TO_RAM = 2;
    static final int INTERRUPT = 4;

    /** The device's buffer, and how much of it may be used: QEMU aborts at a transfer that touches its last byte. */
    static final long BUFFER = 0x40000;

    static final long BUFFER_SIZE = 0xffe;
    private static final int END_OF_MSI = 0x4e;
    private static final long PAUSE_NANOS = 1_000_000;

    long read(long offset, int bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = syscalls.pread(device, value.asSlice(0, bytes), offset);
            return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    long write(long offset, int bytes, long value) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment word = arena.allocateFrom(ValueLayout.JAVA_LONG, value);
            return syscalls.pwrite(device, word.asSlice(0, bytes), offset);
        }
    }

    /** Writes the PCI command register. */
    long command(int value) {
        return write(CONFIG + COMMAND, 2, value);
    }

    /** Computes a factorial; {@code value} is small, or it takes long. */
    long factorial(long value) {
        long answer = write(FACTORIAL, 4, value);
        await(COMPUTING, 4, answer);
        return answer;
    }

    /** Runs a transfer; waits for its end. */
    void transfer(long direction, long iova, long inBuffer, long bytes) {
        boolean toRam = (direction & TO_RAM) != 0;
        write(SOURCE, 8, toRam ? BUFFER + inBuffer : iova);
        write(DESTINATION, 8, toRam ? iova : BUFFER + inBuffer);
        write(COUNT, 8, bytes);
        await(TRANSFER, 8, write(TRANSFER, 8, direction | 1));
    }

    private void await(int register, int bytes, long answer) {
        while (answer >= 0 && (read(register, bytes) & 1) == 1) {
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    /** Registers, buffer, and the configuration space that keeps what is written, as they are taken to be at the start. */
    void initialize(long iovaOfZeroes) {
        command(MEMORY_AND_MASTER);
        write(COMPUTING, 4, 0);
        factorial(1);
        write(ACKNOWLEDGE, 4, -1);
        write(LIVENESS, 4, 0);
        transfer(0, iovaOfZeroes, 0, BUFFER_SIZE);
        for (int at = END_OF_MSI; at < 256; at += 2) {
            write(CONFIG + at, 2, 0);
        }
    }
}
