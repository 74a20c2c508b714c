// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import dev.alcove.kernel.iommu.DmaPort;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * Moves a command's data, which PRP entries describe (NVM Express 1.4, 4.3): the first may start within a page, the second
 * is a page or a list of pages, whose last entry leads to the next list. Used by the controller's engine only.
 */
final class PrpTransfer {
    private final DmaPort dma;
    private final BooleanSupplier master;
    private int pageSize = 4096;

    private record Part(long address, int length) {}

    /** @param master whether the function may do DMA now */
    PrpTransfer(DmaPort dma, BooleanSupplier master) {
        this.dma = dma;
        this.master = master;
    }

    /** @param bytes size of the controller's pages, CC.MPS */
    void setPageSize(int bytes) {
        pageSize = bytes;
    }

    int pageSize() {
        return pageSize;
    }

    /** Reads memory; false when a byte was refused. */
    boolean read(long address, MemorySegment into) {
        return master.getAsBoolean() && dma.read(address, into);
    }

    /** Writes memory; false when a byte was refused. */
    boolean write(long address, MemorySegment from) {
        return master.getAsBoolean() && dma.write(address, from);
    }

    /** Data to the host: a status. */
    int toHost(NvmeCommand command, MemorySegment data) {
        return move(command, data, true);
    }

    /** Data from the host: a status. */
    int fromHost(NvmeCommand command, MemorySegment data) {
        return move(command, data, false);
    }

    /** Each page is tried, also behind one that was refused. */
    private int move(NvmeCommand command, MemorySegment data, boolean toHost) {
        List<Part> parts = new ArrayList<>();
        int status = parts(command.prp1(), command.prp2(), data.byteSize(), parts);
        if (status != NvmeStatus.SUCCESS) {
            return status;
        }
        long done = 0;
        for (Part part : parts) {
            MemorySegment piece = data.asSlice(done, part.length);
            if (!(toHost ? write(part.address, piece) : read(part.address, piece))) {
                status = NvmeStatus.DATA_TRANSFER_ERROR;
            }
            done += part.length;
        }
        return status;
    }

    private int parts(long prp1, long prp2, long length, List<Part> parts) {
        int first = (int) Math.min(length, pageSize - (prp1 & (pageSize - 1)));
        parts.add(new Part(prp1, first));
        long left = length - first;
        if (left == 0) {
            return NvmeStatus.SUCCESS;
        }
        if (left > pageSize) {
            return listed(prp2, left, parts);
        }
        if ((prp2 & (pageSize - 1)) != 0) {
            return NvmeStatus.INVALID_PRP_OFFSET;
        }
        parts.add(new Part(prp2, (int) left));
        return NvmeStatus.SUCCESS;
    }

    /** Each list but the last has data in at least one entry, so this ends. */
    private int listed(long start, long length, List<Part> parts) {
        long list = start;
        int entries = (int) (pageSize - (list & (pageSize - 1))) / Long.BYTES;
        long left = length;
        while (true) {
            if (entries == 0) {
                return NvmeStatus.INVALID_PRP_OFFSET;
            }
            MemorySegment buffer = MemorySegment.ofArray(new long[entries]);
            if (!read(list, buffer)) {
                return NvmeStatus.DATA_TRANSFER_ERROR;
            }
            for (int i = 0; i < entries; i++) {
                long entry = buffer.getAtIndex(ValueLayout.JAVA_LONG, i);
                if ((entry & (pageSize - 1)) != 0) {
                    return NvmeStatus.INVALID_PRP_OFFSET;
                }
                if (i == entries - 1 && left > pageSize) {
                    list = entry;
                    break;
                }
                int part = (int) Math.min(left, pageSize);
                parts.add(new Part(entry, part));
                left -= part;
                if (left == 0) {
                    return NvmeStatus.SUCCESS;
                }
            }
            entries = (int) Math.min((left + pageSize - 1) / pageSize, pageSize / Long.BYTES);
        }
    }
}
