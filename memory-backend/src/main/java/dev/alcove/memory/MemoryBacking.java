// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.Hva;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * What lies behind a RAM block. The strategies differ in where a private page lies: nowhere ({@link SharedBacking}),
 * in a second file ({@link DualBacking}), or in the same place ({@link InPlaceBacking}).
 */
public sealed interface MemoryBacking extends AutoCloseable permits SharedBacking, DualBacking, InPlaceBacking {
    /** The two sides of a block. */
    enum Side {
        /** What the VMM and devices use. */
        SHARED,
        /** What only the guest uses. */
        PRIVATE
    }

    /** Bytes. */
    default long size() {
        return shared().byteSize();
    }

    /** The shared side as this process sees it; an access after {@link #close} is an IllegalStateException. */
    MemorySegment shared();

    /** A place in an open file. */
    record FileRange(int fd, long offset) {}

    /** The file whose pages the shared side is, for those who map it by descriptor; empty where there is none. */
    Optional<FileRange> file();

    /** Who knows how much memory the shared side takes. */
    Residency.Source sharedResidency();

    /** Who knows how much memory the private side takes. */
    Residency.Source privateResidency();

    /** Where the shared side begins in this process. */
    default Hva hva() {
        return new Hva(shared().address());
    }

    /** Whether pages can be private. */
    boolean hasPrivateSide();

    /** Whether a page that is converted leaves memory behind on its old side, which {@link #release} frees. */
    default boolean leavesMemoryBehind() {
        return false;
    }

    /** What this block is in the guest's address space. */
    MemoryRegion.Ram content();

    /**
     * Frees the memory that one side of a range takes; it reads as zero afterwards. The other side is not touched.
     *
     * @param offset in the block, a multiple of 4096
     * @param length bytes, a multiple of 4096, above 0
     * @throws SyscallException where the kernel refuses
     */
    void release(Side side, long offset, long length);

    @Override
    void close();
}
