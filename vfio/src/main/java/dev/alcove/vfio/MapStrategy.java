// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.SyscallException;

/**
 * How guest memory is put into an I/O address space so that any page of it can be taken out again. All addresses and
 * lengths are bytes, multiples of 4096.
 */
public sealed interface MapStrategy permits PageStrategy, CutStrategy {
    /** What a user calls it. */
    String name();

    /** The address space that it maps into. */
    Ioas ioas();

    /**
     * Maps a range that is not mapped at all, for reading and writing.
     *
     * @return refused: no part of it is mapped
     */
    Outcome map(long hva, long iova, long length, MapCounters counters);

    /**
     * Unmaps all that is mapped in a range, without a moment in which its neighbours are not mapped.
     *
     * @return bytes that were unmapped
     * @throws SyscallException some of it may be unmapped and some not
     */
    long unmap(long iova, long length, MapCounters counters);
}
