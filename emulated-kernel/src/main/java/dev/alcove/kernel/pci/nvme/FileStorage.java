// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Blocks in a file of the host's; what the file does not have is zero, and is added when it is written. */
public final class FileStorage implements NvmeStorage {
    private static final int ZEROS = 1 << 16;

    private final FileChannel file;
    private final long size;

    private FileStorage(FileChannel file, long size) {
        this.file = file;
        this.size = size;
    }

    /**
     * Opens a file that is there; the namespace has its size.
     *
     * @throws IOException it is not there, or cannot be written
     */
    public static FileStorage open(Path path) throws IOException {
        FileChannel file = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
        return new FileStorage(file, file.size());
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public void read(long offset, MemorySegment into) throws IOException {
        ByteBuffer buffer = into.asByteBuffer();
        while (buffer.hasRemaining()) {
            if (file.read(buffer, offset + buffer.position()) < 0) {
                into.asSlice(buffer.position()).fill((byte) 0);
                return;
            }
        }
    }

    @Override
    public void write(long offset, MemorySegment from) throws IOException {
        ByteBuffer buffer = from.asByteBuffer();
        while (buffer.hasRemaining()) {
            file.write(buffer, offset + buffer.position());
        }
    }

    @Override
    public void clear(long offset, long length) throws IOException {
        long end = Math.min(offset + length, file.size());
        ByteBuffer zeros = ByteBuffer.allocate(ZEROS);
        for (long at = offset; at < end; ) {
            zeros.clear().limit((int) Math.min(ZEROS, end - at));
            at += file.write(zeros, at);
        }
    }

    @Override
    public void flush() throws IOException {
        file.force(false);
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
