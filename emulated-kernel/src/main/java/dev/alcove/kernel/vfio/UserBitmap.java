// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.sys.Linux;

/**
 * Where a user wants to have what is dirty ({@code struct vfio_bitmap}): a bit for each page.
 *
 * @param pageSize bytes of such a page
 * @param bytes room
 * @param address where
 */
record UserBitmap(long pageSize, long bytes, long address) {
    private static final long LAST_USER_ADDRESS = (1L << 47) - Linux.PAGE_SIZE;

    /** Reads it out of a struct. */
    static UserBitmap of(UserStruct struct, int offset) {
        return new UserBitmap(struct.quad(offset), struct.quad(offset + 8), struct.quad(offset + 16));
    }

    /** Whether it is a user's and has room for so many bytes of memory. */
    boolean fits(long size) {
        long end = address + bytes;
        long pages = size >>> Long.numberOfTrailingZeros(pageSize);
        return Long.compareUnsigned(end, LAST_USER_ADDRESS) <= 0
                && Long.compareUnsigned(end, address) >= 0
                && pages != 0
                && bytes != 0
                && Long.compareUnsigned(bytes, DirtyBitmap.MOST_BYTES) <= 0
                // Close to 2^64 pages the need wraps to nothing, as in the kernel.
                && Long.compareUnsigned(bytes, ((pages + Long.SIZE - 1) & -Long.SIZE) >>> 3) >= 0;
    }

    /** Whether its pages are those of the page table. */
    boolean ofTablePages() {
        return pageSize == Linux.PAGE_SIZE;
    }
}
