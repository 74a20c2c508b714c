// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.iommufd.IovaRange;
import dev.alcove.sys.SyscallException;
import java.util.List;

/**
 * An I/O address space of the kernel, behind whichever of its interfaces: an IOAS of iommufd, or a container of the
 * older interface. All addresses and lengths are bytes, multiples of 4096. Methods may be called from any thread.
 */
public sealed interface DmaSpace permits IoasSpace, VfioContainer {
    /** There is no limit to the number of mappings. */
    long UNLIMITED = Long.MAX_VALUE;

    /**
     * Maps a part of a block for reading and writing, in one ioctl.
     *
     * @param offset in the block
     * @throws SyscallException EEXIST something is mapped there; EINVAL a range that devices cannot reach; EFAULT no
     *     such memory; ENOMEM above RLIMIT_MEMLOCK; ENOSPC too many mappings
     */
    void map(DmaSource source, long offset, long iova, long length);

    /**
     * Unmaps whole mappings, in one ioctl.
     *
     * @return bytes that were unmapped
     * @throws SyscallException a mapping is only partly in the range, and some before it may be gone
     */
    long unmap(long iova, long length);

    /** Whether {@link #cut} works here. Found out by asking the kernel, not from its version. */
    boolean cuts();

    /**
     * Unmaps exactly a range, parts of mappings too, in one ioctl. The neighbours stay mapped all the time.
     *
     * @return bytes that were unmapped; 0 where nothing was mapped
     * @throws SyscallException some of it may be unmapped and some not
     * @throws UnsupportedOperationException where {@link #cuts} says no
     */
    long cut(long iova, long length);

    /** How many more mappings the kernel takes now; {@link #UNLIMITED} where it does not count them. */
    long mappingsLeft();

    /**
     * What a person can do so that there can be more mappings.
     *
     * @param mappings how many there must be room for
     */
    String raiseLimit(long mappings);

    /** Where devices that are attached now can reach memory; empty where the kernel does not tell. */
    List<IovaRange> reachable();
}
