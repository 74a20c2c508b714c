// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.TreeMap;

/** Blocks in the JVM's own memory, which is taken when they are written, in pieces of 64 KiB. */
public final class MemoryStorage implements NvmeStorage {
    private static final int PIECE = 1 << 16;

    private final long size;
    private final Map<Long, byte[]> pieces = new TreeMap<>();

    /** @param size bytes */
    public MemoryStorage(long size) {
        this.size = size;
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public void read(long offset, MemorySegment into) {
        for (long done = 0; done < into.byteSize(); ) {
            long at = offset + done;
            long part = Math.min(PIECE - at % PIECE, into.byteSize() - done);
            byte[] piece = pieces.get(at / PIECE);
            MemorySegment target = into.asSlice(done, part);
            if (piece == null) {
                target.fill((byte) 0);
            } else {
                target.copyFrom(MemorySegment.ofArray(piece).asSlice(at % PIECE, part));
            }
            done += part;
        }
    }

    @Override
    public void write(long offset, MemorySegment from) {
        for (long done = 0; done < from.byteSize(); ) {
            long at = offset + done;
            long part = Math.min(PIECE - at % PIECE, from.byteSize() - done);
            byte[] piece = pieces.computeIfAbsent(at / PIECE, number -> new byte[PIECE]);
            MemorySegment.ofArray(piece).asSlice(at % PIECE, part).copyFrom(from.asSlice(done, part));
            done += part;
        }
    }

    @Override
    public void clear(long offset, long length) {
        for (long done = 0; done < length; ) {
            long at = offset + done;
            long part = Math.min(PIECE - at % PIECE, length - done);
            if (part == PIECE) {
                pieces.remove(at / PIECE);
            } else {
                byte[] piece = pieces.get(at / PIECE);
                if (piece != null) {
                    MemorySegment.ofArray(piece).asSlice(at % PIECE, part).fill((byte) 0);
                }
            }
            done += part;
        }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        pieces.clear();
    }
}
