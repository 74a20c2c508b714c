// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** What Identify answers (NVM Express 1.4, 5.15): structures of 4096 bytes. Used by the controller's engine only. */
final class NvmeIdentify {
    static final int SIZE = 4096;

    private static final int NAMESPACE = 0x00;
    private static final int CONTROLLER = 0x01;
    private static final int ACTIVE_LIST = 0x02;
    private static final int DESCRIPTORS = 0x03;
    private static final int LARGEST_LIST_START = 0xfffffffd;

    private static final int MODEL_LENGTH = 40;
    private static final int SERIAL_LENGTH = 20;
    private static final int FIRMWARE_LENGTH = 8;
    private static final int NAME_LENGTH = 256;

    /** Compare, dataset management, write zeroes, select of Get Features. */
    private static final int OPTIONAL_COMMANDS = 0x01 | 0x04 | 0x08 | 0x10;

    /** Log pages: health per namespace, effects of commands, offsets. */
    private static final int LOG_PAGES = 7;

    private final PrpTransfer memory;
    private final @Nullable NvmeNamespace namespace;
    private final String serial;
    private final MemorySegment data = MemorySegment.ofArray(new byte[SIZE]);

    NvmeIdentify(PrpTransfer memory, @Nullable NvmeNamespace namespace, String serial) {
        this.memory = memory;
        this.namespace = namespace;
        this.serial = serial;
    }

    /** Executes the command: a status. */
    int execute(NvmeCommand command) {
        data.fill((byte) 0);
        int number = command.namespace();
        int status = switch (command.dword(10) & 0xff) {
            case NAMESPACE -> namespace(number);
            case CONTROLLER -> controller();
            case ACTIVE_LIST -> list(number);
            case DESCRIPTORS -> descriptors(number);
            default -> NvmeStatus.INVALID_FIELD;
        };
        return status == NvmeStatus.SUCCESS ? memory.toHost(command, data) : status;
    }

    private int namespace(int number) {
        if (number <= 0 || number > NvmeIo.NAMESPACES) {
            return NvmeStatus.INVALID_NAMESPACE;
        }
        if (namespace != null && number == 1) {
            quad(0, namespace.blocks());
            quad(8, namespace.blocks());
            quad(16, namespace.blocks());
            octet(33, 1); // what is deallocated reads as zeros
            word(128, NvmeNamespace.BLOCK_SHIFT << 16); // the one format: no metadata
        }
        return NvmeStatus.SUCCESS;
    }

    private int controller() {
        half(0, NvmeController.VENDOR);
        half(2, NvmeController.SUBSYSTEM_VENDOR);
        text(4, SERIAL_LENGTH, serial);
        text(24, MODEL_LENGTH, "Alcove NVMe controller");
        text(64, FIRMWARE_LENGTH, "1.0");
        octet(72, 6);
        octet(74, 0x54);
        octet(75, 0x52);
        octet(77, NvmeIo.MOST_PAGES_SHIFT);
        word(80, NvmeRegisters.VS_VALUE);
        octet(111, 1); // a controller for I/O
        octet(258, 3); // Abort commands at a time, from 0
        octet(259, NvmeEvents.LIMIT - 1);
        octet(260, 3); // one slot of firmware, read only
        octet(261, LOG_PAGES);
        half(266, NvmeFeatures.WARNING_TEMPERATURE);
        half(268, NvmeFeatures.CRITICAL_TEMPERATURE);
        octet(512, 0x66);
        octet(513, 0x44);
        word(516, NvmeIo.NAMESPACES);
        half(520, OPTIONAL_COMMANDS);
        octet(525, 7); // a volatile cache, Flush of all namespaces
        byte[] name = ("nqn.2019-08.org.qemu:" + serial).getBytes(StandardCharsets.UTF_8);
        MemorySegment.copy(name, 0, data, ValueLayout.JAVA_BYTE, 768, Math.min(name.length, NAME_LENGTH - 1));
        half(2048, 0x9c4); // 25 W
        word(2052, 0x10);
        word(2056, 4);
        return NvmeStatus.SUCCESS;
    }

    /** Namespaces with a greater number. */
    private int list(int number) {
        if (Integer.compareUnsigned(number, LARGEST_LIST_START) > 0) {
            return NvmeStatus.INVALID_NAMESPACE;
        }
        if (namespace != null && number == 0) {
            word(0, 1);
        }
        return NvmeStatus.SUCCESS;
    }

    private int descriptors(int number) {
        if (number <= 0 || number > NvmeIo.NAMESPACES) {
            return NvmeStatus.INVALID_NAMESPACE;
        }
        if (namespace == null || number != 1) {
            return NvmeStatus.INVALID_FIELD;
        }
        byte[] unique = Arrays.copyOf(serial.getBytes(StandardCharsets.UTF_8), 16);
        octet(0, 3); // a UUID, from the serial number
        octet(1, unique.length);
        MemorySegment.copy(unique, 0, data, ValueLayout.JAVA_BYTE, 4, unique.length);
        octet(20, 4); // the command set: NVM, which is 0
        octet(21, 1);
        return NvmeStatus.SUCCESS;
    }

    private void text(long offset, int length, String text) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) ' ');
        byte[] source = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(source, 0, bytes, 0, Math.min(source.length, length));
        MemorySegment.copy(bytes, 0, data, ValueLayout.JAVA_BYTE, offset, length);
    }

    private void octet(long offset, int value) {
        data.set(ValueLayout.JAVA_BYTE, offset, (byte) value);
    }

    private void half(long offset, int value) {
        data.set(ValueLayout.JAVA_SHORT_UNALIGNED, offset, (short) value);
    }

    private void word(long offset, int value) {
        data.set(ValueLayout.JAVA_INT_UNALIGNED, offset, value);
    }

    private void quad(long offset, long value) {
        data.set(ValueLayout.JAVA_LONG_UNALIGNED, offset, value);
    }
}
