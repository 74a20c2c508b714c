// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Get Log Page (NVM Express 1.4, 5.14). Used by the controller's engine only. */
final class NvmeLogs {
    static final int ERRORS = 0x01;
    static final int HEALTH = 0x02;
    private static final int FIRMWARE = 0x03;
    private static final int CHANGED_NAMESPACES = 0x04;
    private static final int EFFECTS = 0x05;

    private static final int ERRORS_SIZE = 64;
    private static final int HEALTH_SIZE = 512;
    private static final int FIRMWARE_SIZE = 512;
    private static final int PAGE_SIZE = 4096;
    private static final int TEMPERATURE_WARNING = 2;
    private static final int IO_COMMANDS = 1024;

    private static final Set<Integer> ADMIN_OPCODES = Set.of(
            NvmeAdmin.DELETE_SUBMISSION_QUEUE,
            NvmeAdmin.CREATE_SUBMISSION_QUEUE,
            NvmeAdmin.GET_LOG_PAGE,
            NvmeAdmin.DELETE_COMPLETION_QUEUE,
            NvmeAdmin.CREATE_COMPLETION_QUEUE,
            NvmeAdmin.IDENTIFY,
            NvmeAdmin.ABORT,
            NvmeAdmin.SET_FEATURES,
            NvmeAdmin.GET_FEATURES,
            NvmeAdmin.AWAIT_EVENT);

    private static final Set<Integer> IO_OPCODES = Set.of(
            NvmeIo.FLUSH, NvmeIo.WRITE, NvmeIo.READ, NvmeIo.COMPARE, NvmeIo.WRITE_ZEROES, NvmeIo.DATASET_MANAGEMENT);

    private static final Set<Integer> WRITING_OPCODES =
            Set.of(NvmeIo.WRITE, NvmeIo.WRITE_ZEROES, NvmeIo.DATASET_MANAGEMENT);

    private final PrpTransfer memory;
    private final @Nullable NvmeNamespace namespace;
    private final NvmeFeatures features;
    private final MemorySegment page = MemorySegment.ofArray(new byte[PAGE_SIZE]);

    NvmeLogs(PrpTransfer memory, @Nullable NvmeNamespace namespace, NvmeFeatures features) {
        this.memory = memory;
        this.namespace = namespace;
        this.features = features;
    }

    /** The type of event that reading a page acknowledges, -1 for none. */
    static int acknowledges(NvmeCommand command) {
        if ((command.dword(10) & 0x8000) != 0) {
            return -1;
        }
        return switch (command.dword(10) & 0xff) {
            case ERRORS -> NvmeEvents.ERROR;
            case HEALTH -> NvmeEvents.HEALTH;
            case CHANGED_NAMESPACES -> NvmeEvents.NOTICE;
            default -> -1;
        };
    }

    /** Executes the command: a status. */
    int execute(NvmeCommand command) {
        long dwords = ((command.dword(10) >>> 16) | (command.dword(11) & 0xffffL) << 16) + 1;
        long offset = Integer.toUnsignedLong(command.dword(12)) | (long) command.dword(13) << 32;
        if ((offset & 3) != 0 || dwords * 4 > NvmeIo.MOST_BYTES) {
            return NvmeStatus.INVALID_FIELD;
        }
        page.fill((byte) 0);
        int size = fill(command.dword(10) & 0xff, command.namespace());
        if (size < 0) {
            return -size;
        }
        if (offset < 0 || offset >= size) {
            return NvmeStatus.INVALID_FIELD;
        }
        return memory.toHost(command, page.asSlice(offset, Math.min(dwords * 4, size - offset)));
    }

    /** Makes a page: its size, or a status with the sign turned. */
    private int fill(int identifier, int number) {
        return switch (identifier) {
            case ERRORS -> ERRORS_SIZE;
            case HEALTH -> number == NvmeIo.ALL_NAMESPACES || (number == 1 && namespace != null)
                    ? health()
                    : -NvmeStatus.INVALID_NAMESPACE;
            case FIRMWARE -> firmware();
            case CHANGED_NAMESPACES -> PAGE_SIZE;
            case EFFECTS -> effects();
            default -> -NvmeStatus.INVALID_FIELD;
        };
    }

    private int health() {
        page.set(ValueLayout.JAVA_BYTE, 0, (byte) (features.temperatureBeyond() ? TEMPERATURE_WARNING : 0));
        page.set(ValueLayout.JAVA_SHORT_UNALIGNED, 1, (short) NvmeFeatures.TEMPERATURE_NOW);
        if (namespace != null) {
            page.set(ValueLayout.JAVA_LONG_UNALIGNED, 32, namespace.unitsRead());
            page.set(ValueLayout.JAVA_LONG_UNALIGNED, 48, namespace.unitsWritten());
            page.set(ValueLayout.JAVA_LONG_UNALIGNED, 64, namespace.reads());
            page.set(ValueLayout.JAVA_LONG_UNALIGNED, 80, namespace.writes());
        }
        return HEALTH_SIZE;
    }

    private int firmware() {
        page.set(ValueLayout.JAVA_BYTE, 0, (byte) 1);
        byte[] revision = "1.0     ".getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(revision, 0, page, ValueLayout.JAVA_BYTE, 8, revision.length);
        return FIRMWARE_SIZE;
    }

    /** Of each command whether there is one, and whether it changes blocks. */
    private int effects() {
        ADMIN_OPCODES.forEach(opcode -> page.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * opcode, 1));
        IO_OPCODES.forEach(opcode -> page.set(
                ValueLayout.JAVA_INT_UNALIGNED, IO_COMMANDS + 4L * opcode, WRITING_OPCODES.contains(opcode) ? 3 : 1));
        return PAGE_SIZE;
    }
}
