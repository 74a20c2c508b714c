// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;

/**
 * How guest memory is put into an I/O address space so that any page of it can be taken out again. All addresses and
 * lengths are bytes, multiples of 4096. Ranges that do not overlap may be mapped and unmapped by several threads at
 * once.
 */
public sealed interface MapStrategy permits PageStrategy, CutStrategy, RemapStrategy {
    /** Bytes of the smallest piece. */
    long PAGE = 4096;

    /** What a user calls it. */
    String name();

    /** The address space that it maps into. */
    DmaSpace space();

    /** How many mappings of the kernel a range takes that is mapped at once. */
    long mappings(long length);

    /** How many mappings memory can come to take by conversions, in the worst case: every second page private. */
    default long mostMappings(long length) {
        return Math.ceilDiv(length, 2 * PAGE);
    }

    /**
     * Maps a range that is not mapped at all, for reading and writing.
     *
     * @param offset of the range in its block
     * @return refused: no part of it is mapped
     */
    Outcome map(DmaSource source, long offset, long iova, long length, MapCounters counters);

    /** As {@link #map}, of a range of which no part will come out by itself: one mapping. */
    default Outcome mapWhole(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        return map(source, offset, iova, length, counters);
    }

    /**
     * Unmaps all that is mapped in a range.
     *
     * @return bytes that were unmapped
     * @throws SyscallException some of it may be unmapped and some not: {@link #restore} puts it right
     */
    long unmap(long iova, long length, MapCounters counters);

    /**
     * After an unmap that failed nobody knows which part of the range was done. Mapping it again tells: EEXIST says
     * that a page still is mapped, success that it was not and now is again. Tries the range as one, then its halves:
     * an area that is wholly gone comes back with one ioctl.
     *
     * @param length of a range that was mapped as a whole before
     * @throws SyscallException a part of it is not mapped and cannot be
     */
    default void restore(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        if (length <= largest()) {
            try {
                counters.mapIoctl();
                space().map(source, offset, iova, length);
                return;
            } catch (SyscallException refused) {
                if (refused.errno() != Errno.EEXIST) {
                    throw refused;
                }
            }
        }
        if (length > PAGE) {
            long half = Math.max(PAGE, length / 2 & -PAGE);
            restore(source, offset, iova, half, counters);
            restore(source, offset + half, iova + half, length - half, counters);
        }
    }

    /** The longest range that it maps in one piece. */
    default long largest() {
        return Long.MAX_VALUE;
    }

    /**
     * The best that an address space can do: {@link CutStrategy} where it can be cut, else {@link PageStrategy}.
     * {@link RemapStrategy} is never chosen, because it blocks DMA that must not be blocked.
     */
    static MapStrategy choose(DmaSpace space) {
        return space.cuts() ? new CutStrategy(space) : new PageStrategy(space);
    }

    /** Maps a range with one ioctl. */
    static Outcome one(
            DmaSpace space, DmaSource source, long offset, long iova, long length, MapCounters counters) {
        try {
            counters.mapIoctl();
            space.map(source, offset, iova, length);
            return Outcome.done();
        } catch (SyscallException refused) {
            return refused(refused);
        }
    }

    /** A refused ioctl as the answer of a listener. */
    static Outcome refused(SyscallException refused) {
        String hint = refused.hint();
        String message = String.valueOf(refused.getMessage());
        return new Outcome.Refused(refused.errno(), hint == null ? message : message + "; " + hint);
    }
}
