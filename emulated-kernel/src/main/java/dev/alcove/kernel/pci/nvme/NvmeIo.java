// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/** The commands of I/O queues (NVM Express 1.4, 6). Used by the controller's engine only. */
final class NvmeIo {
    static final int FLUSH = 0x00;
    static final int WRITE = 0x01;
    static final int READ = 0x02;
    static final int COMPARE = 0x05;
    static final int WRITE_ZEROES = 0x08;
    static final int DATASET_MANAGEMENT = 0x09;

    /** MDTS: a power of two of the smallest pages. */
    static final int MOST_PAGES_SHIFT = 7;

    static final int MOST_BYTES = 4096 << MOST_PAGES_SHIFT;

    static final int NAMESPACES = 256;
    static final int ALL_NAMESPACES = -1;
    private static final int RANGE_SIZE = 16;
    private static final int DEALLOCATE = 4;

    private final PrpTransfer memory;
    private final @Nullable NvmeNamespace namespace;
    private final MemorySegment buffer = MemorySegment.ofArray(new byte[MOST_BYTES]);

    /** @param namespace the one with number 1; null for a controller without */
    NvmeIo(PrpTransfer memory, @Nullable NvmeNamespace namespace) {
        this.memory = memory;
        this.namespace = namespace;
    }

    /** Executes a command: a status. */
    int execute(NvmeCommand command) {
        int number = command.namespace();
        if (number != ALL_NAMESPACES && (number <= 0 || number > NAMESPACES)) {
            return NvmeStatus.INVALID_NAMESPACE;
        }
        try {
            if (command.opcode() == FLUSH) {
                return flush(number);
            }
            if (namespace == null || number != 1) {
                return NvmeStatus.INVALID_FIELD;
            }
            if (command.fused() || !command.usesPrp()) {
                return NvmeStatus.INVALID_FIELD;
            }
            return switch (command.opcode()) {
                case READ -> read(command, namespace);
                case WRITE -> write(command, namespace);
                case COMPARE -> compare(command, namespace);
                case WRITE_ZEROES -> writeZeroes(command, namespace);
                case DATASET_MANAGEMENT -> manage(command, namespace);
                default -> NvmeStatus.INVALID_OPCODE;
            };
        } catch (IOException e) {
            return NvmeStatus.INTERNAL_ERROR;
        }
    }

    private int flush(int number) throws IOException {
        if (number != ALL_NAMESPACES && (namespace == null || number != 1)) {
            return NvmeStatus.INVALID_FIELD;
        }
        if (namespace != null) {
            namespace.flush();
        }
        return NvmeStatus.SUCCESS;
    }

    private static int check(NvmeCommand command, NvmeNamespace namespace) {
        if ((long) command.blocks() << NvmeNamespace.BLOCK_SHIFT > MOST_BYTES) {
            return NvmeStatus.INVALID_FIELD;
        }
        return bounds(command, namespace);
    }

    private static int bounds(NvmeCommand command, NvmeNamespace namespace) {
        return namespace.contains(command.startBlock(), command.blocks()) ? NvmeStatus.SUCCESS : NvmeStatus.LBA_OUT_OF_RANGE;
    }

    private MemorySegment data(NvmeCommand command) {
        return buffer.asSlice(0, (long) command.blocks() << NvmeNamespace.BLOCK_SHIFT);
    }

    /** Data that cannot be reached is not worth another try, says QEMU. */
    private static int forGood(int status) {
        return status == NvmeStatus.SUCCESS ? status : status | NvmeStatus.DO_NOT_RETRY;
    }

    private int read(NvmeCommand command, NvmeNamespace blocks) throws IOException {
        int status = check(command, blocks);
        if (status != NvmeStatus.SUCCESS) {
            return status;
        }
        MemorySegment data = data(command);
        blocks.read(command.startBlock(), data);
        return forGood(memory.toHost(command, data));
    }

    /** Blocks of which a part could not be fetched are not written. */
    private int write(NvmeCommand command, NvmeNamespace blocks) throws IOException {
        int status = check(command, blocks);
        if (status != NvmeStatus.SUCCESS) {
            return status;
        }
        MemorySegment data = data(command);
        status = forGood(memory.fromHost(command, data));
        if (status == NvmeStatus.SUCCESS) {
            blocks.write(command.startBlock(), data);
        }
        return status;
    }

    private int compare(NvmeCommand command, NvmeNamespace blocks) throws IOException {
        int status = check(command, blocks);
        if (status != NvmeStatus.SUCCESS) {
            return status;
        }
        MemorySegment data = data(command);
        status = forGood(memory.fromHost(command, data));
        if (status != NvmeStatus.SUCCESS) {
            return status;
        }
        MemorySegment stored = MemorySegment.ofArray(new byte[(int) data.byteSize()]);
        blocks.read(command.startBlock(), stored);
        return data.mismatch(stored) < 0 ? NvmeStatus.SUCCESS : NvmeStatus.COMPARE_FAILURE;
    }

    private static int writeZeroes(NvmeCommand command, NvmeNamespace blocks) throws IOException {
        int status = bounds(command, blocks);
        if (status == NvmeStatus.SUCCESS) {
            blocks.clear(command.startBlock(), command.blocks());
        }
        return status;
    }

    /** Ranges that leave the namespace are passed over, as QEMU does. */
    private int manage(NvmeCommand command, NvmeNamespace blocks) throws IOException {
        if ((command.dword(11) & DEALLOCATE) == 0) {
            return NvmeStatus.SUCCESS;
        }
        MemorySegment ranges = buffer.asSlice(0, ((command.dword(10) & 0xff) + 1) * (long) RANGE_SIZE);
        int status = memory.fromHost(command, ranges);
        for (long at = 0; at < ranges.byteSize() && status == NvmeStatus.SUCCESS; at += RANGE_SIZE) {
            long count = Integer.toUnsignedLong(ranges.get(ValueLayout.JAVA_INT_UNALIGNED, at + 4));
            long first = ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, at + 8);
            if (blocks.contains(first, count)) {
                blocks.clear(first, count);
            }
        }
        return status;
    }
}
