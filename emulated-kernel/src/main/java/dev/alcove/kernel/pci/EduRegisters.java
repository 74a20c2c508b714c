// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

/** The register map of QEMU's educational device (docs/specs/edu), offsets in BAR 0. */
final class EduRegisters {
    static final int IDENTIFICATION = 0x00;
    static final int LIVENESS = 0x04;
    static final int FACTORIAL = 0x08;
    static final int DEVICE_STATUS = 0x20;
    static final int INTERRUPT_STATUS = 0x24;
    static final int INTERRUPT_RAISE = 0x60;
    static final int INTERRUPT_ACKNOWLEDGE = 0x64;
    static final int DMA_SOURCE = 0x80;
    static final int DMA_DESTINATION = 0x88;
    static final int DMA_COUNT = 0x90;
    static final int DMA_COMMAND = 0x98;

    static final int IDENTITY = 0x010000ed;
    static final int STATUS_COMPUTING = 1;
    static final int STATUS_INTERRUPT = 0x80;

    static final long COMMAND_RUN = 1;
    /** Set: device to RAM; clear: RAM to device. */
    static final long COMMAND_TO_RAM = 2;

    static final long COMMAND_INTERRUPT = 4;
    static final int INTERRUPT_FACTORIAL = 1;
    static final int INTERRUPT_DMA = 0x100;

    /** The device's own buffer, in the addresses that source and destination registers take. */
    static final long BUFFER = 0x40000;

    static final int BUFFER_SIZE = 4096;
    static final long BAR_SIZE = 1 << 20;

    private EduRegisters() {}
}
